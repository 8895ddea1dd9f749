// Could break: prompts on cooperative matrices, by either extension: a pipeline that a device does
// not take, a shape that it was not specialised to, or factors that are rounded more than once.
#include <gtest/gtest.h>

#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/interpreter.h"
#include "tests/support/random.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kVocab = 131, kContext = 96;
// Factors of f16 are off by 2^-12 each, in every product of a layer.
constexpr double kTolerance = 1e-2;
constexpr double kFloatTolerance = 1e-3;

using Rows = std::vector<std::vector<float>>;

Rows rows_of(const AlignedBytes& file, std::span<const uint32_t> tokens, uint32_t flags,
             uint32_t chunk) {
  TestEngine engine(
      file.span(),
      {.flags = flags | NBL_FLAG_GPU_KERNELS, .prefill_chunk = chunk, .logits = NBL_LOGITS_ALL});
  return engine.logits_of(tokens, chunk);
}

TEST(Matrices, give_a_prompt_the_logits_of_its_file) {
  NBL_REQUIRE_VULKAN();
  const AlignedBytes file = build_model(small_llama({.dim = 256,
                                                     .heads = 4,
                                                     .kv_heads = 2,
                                                     .head_dim = 64,
                                                     .ffn = 416,
                                                     .vocab = kVocab,
                                                     .context = kContext,
                                                     .seed = seed()}),
                                        {.context = kContext});
  std::vector<uint32_t> tokens(77);
  Random random(77);
  for (uint32_t& token : tokens)
    token = random.below(kVocab);
  Interpreter reference(file.span());
  const std::vector<std::vector<double>> expected = reference.evaluate(tokens);
  // Some of a block's rows, and several blocks.
  for (const uint32_t chunk : {12u, 77u}) {
    SCOPED_TRACE(chunk);
    const Rows exact = rows_of(file, tokens, NBL_FLAG_FLOAT32, chunk);
    const Rows rows = rows_of(file, tokens, 0, chunk);
    for (size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_LT(relative_error(exact[i], expected[i]), kFloatTolerance) << "position " << i;
      ASSERT_LT(relative_error(rows[i], expected[i]), kTolerance) << "position " << i;
    }
    if (rows == exact) GTEST_SKIP() << "the device has no cooperative matrices";
  }
}

}  // namespace
}  // namespace nbl::test
