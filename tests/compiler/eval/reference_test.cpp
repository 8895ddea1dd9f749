// Could break: the network that perplexity is measured with is not the one that gets compiled.
#include "compiler/eval/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "tests/support/compiled.h"
#include "tests/support/interpreter.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kVocab = 131;
const test::LlamaSpec kSpec{
    .dim = 100, .heads = 6, .kv_heads = 2, .head_dim = 20, .ffn = 172, .vocab = kVocab};

std::vector<uint32_t> some_tokens() {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < 50; ++i)
    tokens.push_back(i * i * 7 % kVocab);
  return tokens;
}

// Both quantize every row by itself, so the 4-bit weights are the same; float32 arithmetic and the
// f16 cache are what differs.
TEST(Reference, agrees_with_the_compiled_model) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  const std::vector<uint32_t> tokens = some_tokens();
  for (const uint32_t group_size : {32u, 64u}) {
    Reference reference(checkpoint, group_size);
    const std::vector<float> rows = reference.logits(tokens);
    const test::AlignedBytes file = test::build_model(checkpoint, {.group_size = group_size});
    test::Interpreter model(file.span());
    const auto expected = model.evaluate(tokens);
    double difference = 0, size = 0;
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (size_t i = 0; i < kVocab; ++i) {
        const double delta = static_cast<double>(rows[t * kVocab + i]) - expected[t][i];
        difference += delta * delta;
        size += expected[t][i] * expected[t][i];
      }
    }
    EXPECT_LT(std::sqrt(difference / size), 1e-3) << "group " << group_size;
  }
}

// The f16 cache alone moves enough of the values that are rounded to int8 over a half that the two
// differ by about as much as rounding costs: 2e-2 here.
TEST(Reference, rounds_activations_to_int8_on_request) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Reference exact(checkpoint, 32);
  Reference rounded(checkpoint, 32, Activations::int8);
  const std::vector<float> a = exact.logits(some_tokens());
  const std::vector<float> b = rounded.logits(some_tokens());
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i] - b[i]), 2);
    size += std::pow(static_cast<double>(a[i]), 2);
  }
  EXPECT_GT(std::sqrt(difference / size), 1e-3);
  EXPECT_LT(std::sqrt(difference / size), 1e-1);
}

TEST(Reference, is_changed_by_quantization) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Reference stored(checkpoint, 0);
  Reference packed(checkpoint, 32);
  EXPECT_NE(stored.logits(some_tokens()), packed.logits(some_tokens()));
}

TEST(Reference, refuses_tokens_that_are_none) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Reference reference(checkpoint, 0);
  EXPECT_THROW(reference.logits(std::vector<uint32_t>{kVocab}), std::invalid_argument);
  EXPECT_THROW(reference.logits(std::vector<uint32_t>(78, 0)), std::invalid_argument);
}

TEST(Perplexity, is_the_same_whichever_code_sums_it) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  const std::vector<uint32_t> tokens = some_tokens();
  Reference reference(checkpoint, 32);
  const PerplexityResult result = perplexity(&reference, tokens, -1, 64, kVocab);
  EXPECT_EQ(result.scored_tokens, tokens.size() - 1);
  const test::AlignedBytes file = test::build_model(checkpoint);
  test::Interpreter model(file.span());
  const double expected = test::perplexity(model.evaluate(tokens), tokens);
  EXPECT_NEAR(result.perplexity, expected, 1e-3 * expected);
}

TEST(Perplexity, scores_every_token_after_the_first_of_each_window) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Reference reference(checkpoint, 0);
  // 50 tokens: windows of 20, 20 and 10, each losing its first; with BOS, none is lost.
  EXPECT_EQ(perplexity(&reference, some_tokens(), -1, 20, kVocab).scored_tokens, 47u);
  EXPECT_EQ(perplexity(&reference, some_tokens(), 1, 21, kVocab).scored_tokens, 50u);
  EXPECT_THROW(perplexity(&reference, std::vector<uint32_t>{3}, -1, 20, kVocab),
               std::invalid_argument);
}

}  // namespace
}  // namespace nbl::compiler
