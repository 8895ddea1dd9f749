// A checkpoint's network in float32 on the CPU, straight from the checkpoint's rows and without a
// graph: what 4-bit weights cost is measured with it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "compiler/eval/moments.h"
#include "compiler/import/checkpoint.h"
#include "compiler/passes/passes.h"
#include "compiler/quantize/q4.h"

namespace nbl::compiler {

// The form of the weights that a reference computes with.
//
// Borrows  moments, while the reference is made.
struct ReferenceWeights {
  uint32_t group_size = 0;  // 0 = as stored, whatever the rest says; else quantized in such groups
  Quantizer quantizer = Quantizer::search;
  uint32_t head_bits = 4;
  std::vector<KeepRule> keep = {};
  const Moments* moments = nullptr;  // of the inputs of matrices (moments.h); null: all alike
};

// Evaluates whole windows of tokens, each from position 0 on.
//
// Memory   of the weights, one row at a time as stored; with 4-bit weights, all of them in 4 bits.
// Borrows  the checkpoint.
class Reference {
 public:
  Reference(const Checkpoint& checkpoint, const ReferenceWeights& weights,
            Activations activations = Activations::f32);
  // Units   group_size: as in ReferenceWeights.
  Reference(const Checkpoint& checkpoint, uint32_t group_size,
            Activations activations = Activations::f32)
      : Reference(checkpoint, ReferenceWeights{.group_size = group_size}, activations) {}

  // Returns the logits of every token, [tokens, vocab].
  //
  // Errors  std::invalid_argument: a token is none, or there are more tokens than positions.
  std::vector<float> logits(std::span<const uint32_t> tokens);

  // Adds the squares of what every matrix is multiplied with to sums[matrix], column by column, and
  // computes no logits.
  void observe(std::span<const uint32_t> tokens, std::map<std::string, std::vector<double>>* sums);

 private:
  // [token_count, columns], row-major.
  using Rows = std::vector<float>;

  void read_row(const std::string& tensor, uint32_t row, float* out) const;
  void add_squares(const Rows& x, const std::string& weight);
  std::string head() const;
  // What the head multiplies.
  Rows hidden(std::span<const uint32_t> tokens);
  Rows matmul(Rows x, const std::string& weight);
  // Over each run of as many elements as the weight has: a row, or a head.
  Rows rms_norm(const Rows& x, const std::string& weight) const;
  Rows project(const Rows& x, const std::string& weight);
  const std::vector<double>& frequencies(uint32_t index) const;
  void rotate(uint32_t index, Rows* x, uint32_t heads) const;
  float score(const float* query, const float* key) const;
  Rows attend(uint32_t index, const Rows& q, const Rows& k, const Rows& v) const;
  Rows attention(uint32_t index, const Rows& x);
  Rows feed_forward(const std::string& at, const Rows& x);
  void layer(uint32_t index, Rows* x);

  const Checkpoint& checkpoint_;
  const Hyper& hyper_;
  Activations activations_;
  std::map<std::string, Q4Matrix> quantized_;
  size_t token_count_ = 0;
  std::map<std::string, std::vector<double>>* observed_ = nullptr;
};

// exp of the mean of -log p(next token), over windows of at most `window` tokens that do not
// overlap. `first` (BOS) comes before the tokens of every window; -1 = nothing does.
//
// Shapes  at least two tokens, or one after `first`.
// Errors  std::invalid_argument.
struct PerplexityResult {
  double perplexity = 0;
  size_t scored_tokens = 0;
};
PerplexityResult perplexity(Reference* model, std::span<const uint32_t> tokens, int32_t first,
                            uint32_t window, uint32_t vocab);

}  // namespace nbl::compiler
