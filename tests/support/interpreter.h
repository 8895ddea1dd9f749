// What a .nbl file computes, in float64 and as plainly as it can be said: the reference for whole
// models. Reads the FlatBuffer with the generated header and shares no code with the runtime.
//
// Weights are what the file says, (nibble - 8) * scale or (byte - 128) * scale. KV cache entries
// are rounded to their type: f16 and f32 to nearest even, i8 to steps of their row's largest / 127;
// so are activations of linear_dq8ca_q4gsw to int8 with a float32 scale; everything else stays
// double.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nbl::fb {
struct Model;
struct Op;
struct Tensor;
}  // namespace nbl::fb

namespace nbl::test {

class Interpreter {
 public:
  // Errors  std::runtime_error where the file is not one this interpreter can run.
  explicit Interpreter(std::span<const std::byte> file);

  // Runs one token at the current position and returns its logits.
  // Errors  std::runtime_error: the context is full, or there is no such token.
  std::vector<double> step(uint32_t token);

  // Runs all tokens and returns the logits of each.
  std::vector<std::vector<double>> evaluate(std::span<const uint32_t> tokens);

  // Runs all tokens as one step, which matters where attention is not causal, and returns the
  // logits of each.
  std::vector<std::vector<double>> evaluate_together(std::span<const uint32_t> tokens);

  uint32_t position() const { return position_; }
  uint32_t vocab_size() const;
  uint32_t context_length() const;
  // Forgets everything.
  void reset() { rewind(0); }
  // Forgets everything from `position` on.
  void rewind(uint32_t position);

  // Drops the `shift` positions behind the first `sinks`: what follows moves up, and its keys are
  // turned back by as many positions. They are not rounded again.
  void slide(uint32_t sinks, uint32_t shift);

  // Changes what is written to the caches by up to this fraction before it is rounded, and
  // activations before they are rounded to int8: for finding out how much a result depends on
  // entries that round to the other side.
  void set_cache_noise(double fraction, uint64_t seed);

  // An activation of the last step, or all values of a state tensor as they are now.
  const std::vector<double>& value(std::string_view tensor) const;
  // Element (row, column) of a weight; a vector has row 0.
  double weight(std::string_view tensor, uint32_t row, uint32_t column) const;

 private:
  struct Matrix {
    uint32_t rows = 0;
    uint32_t columns = 0;
    std::vector<float> values;  // a whole number times a scale, rounded once
  };

  int32_t find(std::string_view tensor) const;
  void load_weights();
  Matrix unpack_quantized(const fb::Tensor& tensor) const;
  const std::byte* segment(int32_t index, uint64_t bytes) const;
  void run(const fb::Op& op);
  void linear(const fb::Op& op);
  void round_to_int8(std::vector<double>* x);
  void attention(const fb::Op& op);
  double score(const fb::Op& op, double dot, size_t c) const;
  void rope_update_cache(const fb::Op& op);
  void norm_heads(const fb::Op& op, std::vector<double>* qkv);
  void rms_norm(const fb::Op& op);
  void elementwise(const fb::Op& op);
  void move_columns(const fb::Op& op);
  void softmax(const fb::Op& op);
  void write_cache(const double* rows, int32_t cache);
  // Turns `heads` heads in place.
  void drop_rows(int32_t cache, uint32_t sinks, uint32_t shift, const fb::Op* rope);
  void rotate(const fb::Op& op, const Matrix& table, uint32_t heads, double* x) const;
  const std::vector<double>& input(const fb::Op& op, uint32_t slot) const;
  std::vector<double>& output(const fb::Op& op, uint32_t slot);
  const Matrix& matrix(const fb::Op& op, uint32_t slot) const;

  std::span<const std::byte> file_;
  const fb::Model* model_ = nullptr;
  std::map<std::array<int64_t, 4>, Matrix> weights_;  // by data, scales, rows, columns
  std::vector<const Matrix*> matrix_of_;              // by tensor
  std::vector<std::vector<double>> values_;           // by tensor: activations and state
  uint32_t position_ = 0;
  uint32_t token_ = 0;
  uint32_t live_end_ = 0;  // one past the last position of the step
  double cache_noise_ = 0;
  std::mt19937_64 noise_;
};

// What elementwise's function of that name gives; b is what a function of one operand ignores.
double function_of(std::string_view name, double a, double b);

// -log p(token) under softmax(logits).
double negative_log_likelihood(std::span<const double> logits, uint32_t token);

// exp of the mean of -log p(tokens[i + 1]) under row i: the last row is not needed.
double perplexity(std::span<const std::vector<double>> logits, std::span<const uint32_t> tokens);

// The index of the largest element, the first of equals.
uint32_t argmax(std::span<const double> values);

}  // namespace nbl::test
