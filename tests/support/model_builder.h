// Builds the graph of a model in memory, for tests that need no weights: what plan() and the checks
// of load() see, with segments that exist only as sizes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rt/model/model.h"
#include "tests/support/random.h"

namespace nbl::test {

struct OpSpec {
  OpKind kind = OpKind::add;
  std::vector<int32_t> inputs = {};
  std::vector<int32_t> outputs = {};
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  bool swiglu = false;
  bool last_row = false;
  Function function = Function::none;
  float alpha = 0;
  uint32_t offset = 0;
  uint32_t window = 0;
  float softcap = 0;
  bool full = false;
};

class ModelBuilder {
 public:
  explicit ModelBuilder(uint32_t vocab, uint32_t context, uint32_t chunk)
      : vocab_(vocab), context_(context), chunk_(chunk) {}

  int32_t tokens();
  int32_t activation(uint32_t columns);
  int32_t q4(uint32_t rows, uint32_t columns, uint32_t group_size);
  // q8 where the format is that of 8 bits.
  int32_t q4(uint32_t rows, uint32_t columns, const Q4Format& format);
  int32_t vector(uint32_t columns);
  // Another tensor over the segments of a q4 weight: the same, or a vector that sees its values.
  int32_t same_segments(int32_t weight);
  int32_t vector_over(int32_t weight, uint32_t columns);
  int32_t rope_table(uint32_t rotary_dim);
  int32_t cache(uint32_t kv_heads, uint32_t head_dim, DType type = DType::f16);
  int32_t mask();
  void op(OpSpec spec) { ops_.push_back(std::move(spec)); }
  uint32_t columns(int32_t tensor) const {
    return tensors_[static_cast<size_t>(tensor)].shape.back();
  }

  // The builder keeps the bytes that the model views.
  Model build();

  // What the linears from here on take.
  void int8_activations(bool on) { int8_ = on; }
  void eight_bits(bool on) { eight_ = on; }  // of weights, and then not the above

  // A llama-shaped decoder, fused or not.
  struct Decoder {
    uint32_t dim = 64, layers = 2, heads = 4, kv_heads = 2, head_dim = 16, ffn = 96, group = 32;
    bool fused = true;
    Q4Format table = {};  // its group is `group`
    bool f32_scales = false;
    DType cache = DType::f16;
    uint32_t window = 0;
    float softcap = 0;
    bool full = false;
    bool mask = false;
  };
  void decoder(const Decoder& d);

  // Ops of every kind in a random order over random widths.
  void random_graph(Random* random, uint32_t op_count);

 private:
  struct Entry {
    std::string role, dtype, layout;
    std::vector<uint32_t> shape;
    uint32_t group = 0;
    int32_t data = -1, scales = -1;
    bool f32_scales = false;
  };
  int32_t add(Entry entry);
  int32_t segment(uint64_t bytes);
  int32_t linear(int32_t x, uint32_t rows, uint32_t group, bool norm, int32_t residual, bool swiglu,
                 bool last_row);
  int32_t layer_attention(const Decoder& d, int32_t x, int32_t table);
  int32_t layer_ffn(const Decoder& d, int32_t x);
  int32_t norm(int32_t x, uint32_t heads = 1);
  int32_t general(Random* random, int32_t x, int32_t partner);
  void finish(int32_t x, bool last_row = true, bool capped = false);

  uint32_t vocab_, context_, chunk_;
  bool int8_ = false;
  bool eight_ = false;
  std::vector<Entry> tensors_;
  std::vector<uint64_t> segments_;
  std::vector<OpSpec> ops_;
  std::vector<uint8_t> bytes_;
  bool f32_scales_ = false;  // of linears
};

}  // namespace nbl::test
