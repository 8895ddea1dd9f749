// Turns the ops of a model into dispatches over values, before anything has an offset.
#pragma once

#include "rt/kernels/linear.h"
#include "rt/plan.h"

namespace nbl {

// A step of the graph; rows of the caches to and from the window; and to earlier positions.
enum class PhaseKind : uint8_t { step, prefill_step, window, slide };

// Builds one phase. With empty spans it only counts, which is how storage is sized.
//
// Shapes   values: at least value_count() of a counting run; the first tensor_count ones stand for
//          the model's tensors, scratch follows. dispatches: dispatch_count() of one.
// Borrows  everything handed over, while in use.
class PhaseBuilder {
 public:
  PhaseBuilder(const Model& model, const Plan& plan, uint32_t tokens,
               std::span<Dispatch> dispatches, std::span<Value> values);

  // Errors  device_limit, or what a kernel's contract says; cannot_slide.
  Status build(PhaseKind kind, Error* error);

  uint32_t dispatch_count() const { return dispatch_count_; }
  uint32_t value_count() const { return value_count_; }
  uint64_t weight_bytes() const { return weight_bytes_; }
  // The value that the sample op reads, and how many rows it has.
  uint32_t logits_value() const { return logits_value_; }
  uint32_t logits_rows() const { return logits_rows_; }

 private:
  // Rows [begin, begin + count) of a quantized weight, bound on their own.
  struct Window {
    uint32_t begin;
    uint32_t count;
    Binding data;
    Binding scales;
    bool image;  // the values are in one
  };

  // What quantize_rows made of one tensor: the linears behind it that read the same share it.
  struct QuantizedRows {
    int32_t x = -1;  // -1 = nothing yet
    int32_t norm = -1;
    float eps = 0;
    bool last_row = false;
    uint32_t rows = 0;  // values
    uint32_t params = 0;
  };

  Status add_op(uint32_t index, const Op& op, Error* error);
  Status add_embedding(const Op& op, Error* error);
  Status add_rms_norm(uint32_t x, int32_t weight, float eps, uint32_t heads, uint32_t out,
                      Error* error);
  Status add_linear(const Op& op, Error* error);
  Status add_linear_dq8ca(const Op& op, LinearArgs args, uint32_t out, Error* error);
  Status quantize(const Op& op, const LinearArgs& args, Error* error);
  Status add_rope(const Op& op, Error* error);
  Status add_cache(const Op& op, Error* error);
  Status add_rope_cache(const Op& op, Error* error);
  Status add_sdpa(const Op& op, Error* error);
  Status add_sdpa_token(const Op& rope, const Op& sdpa, Error* error);
  Status build_window(Error* error);
  Status build_slide(Error* error);
  Status find_rotation(const Op& update, Op* rotation, Error* error) const;
  bool joins_sdpa(uint32_t index, const Op& rope) const;
  Status add_elementwise(const Op& op, Error* error);
  Status add_copy(const Op& op, Error* error);
  Status add_softmax(const Op& op, Error* error);
  Status add_last_row(uint32_t x, uint32_t columns, uint32_t out, Error* error);
  Status add_sample(const Op& op, Error* error);

  Status next_window(const Tensor& weight, uint32_t row, uint32_t most_rows, Window* window,
                     Error* error);
  uint32_t rows_within_time(const Tensor& weight, uint32_t tokens) const;

  Dispatch* open(const KernelCall& call);
  void close(Dispatch* dispatch);
  void bind(Dispatch* dispatch, const Binding& binding);
  uint32_t define(int32_t tensor, uint32_t rows, uint32_t columns);
  uint32_t scratch(uint64_t bytes);

  Binding step(bool write) const;
  Binding value(uint32_t id, bool write) const;
  Binding whole_weight(int32_t tensor) const;
  Binding cache(int32_t tensor, bool write) const;
  Binding mask_rows(int32_t tensor) const;

  const Model& model_;
  const Plan& plan_;
  const uint32_t tokens_;
  std::span<Dispatch> dispatches_;
  std::span<Value> values_;
  Dispatch spare_{};  // written in place of dispatches when counting
  uint32_t rows_;     // of the activations that ops write: 1 after a linear of the last row only
  QuantizedRows quantized_;
  uint32_t op_index_ = 0;
  uint32_t dispatch_count_ = 0;
  uint32_t value_count_ = 0;
  uint64_t weight_bytes_ = 0;
  uint32_t logits_value_ = 0;
  uint32_t logits_rows_ = 0;
};

}  // namespace nbl
