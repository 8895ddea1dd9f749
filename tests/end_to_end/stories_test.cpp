// Could break: any kernel, barrier, offset or position in the whole chain from a trained checkpoint
// to its logits, for one chunk size, kernel choice or fusion and not for another. The reference is
// the float64 interpreter on the same file.
#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tests/support/interpreter.h"
#include "tests/support/stories.h"

namespace nbl::test {
namespace {

constexpr uint32_t kGenerated = 200;
// The rest goes through decode. Leaves a remainder for every chunk size.
constexpr uint32_t kPrefilled = 143;
// Float32 sums of some hundred products and five layers; what is measured is below 1e-5, but an f16
// cache entry that rounds to the other side alone gives a few 1e-5.
constexpr double kTolerance = 2e-4;

struct Reference {
  std::vector<uint32_t> prompt;
  std::vector<uint32_t> generated;
  std::vector<std::vector<double>> logits;  // of prompt and generated

  std::vector<uint32_t> all() const {
    std::vector<uint32_t> tokens = prompt;
    tokens.insert(tokens.end(), generated.begin(), generated.end());
    return tokens;
  }
};

const Reference& reference(bool fuse) {
  static std::map<bool, Reference> references;
  const auto [entry, is_new] = references.try_emplace(fuse);
  Reference& r = entry->second;
  if (!is_new) return r;
  const AlignedBytes& file = stories_file(fuse);
  Interpreter model(file.span());
  TestEngine tokenizer(file.span());
  r.prompt = tokenizer.tokenize("Once upon a time", true);
  r.logits = model.evaluate(r.prompt);
  while (r.generated.size() < kGenerated) {
    r.generated.push_back(argmax(r.logits.back()));
    r.logits.push_back(model.step(r.generated.back()));
  }
  return r;
}

struct Kernels {
  const char* name;
  uint32_t flags;
};
constexpr Kernels kKernels[] = {{"default", 0},
                                {"floor", NBL_FLAG_FLOOR_KERNELS},
                                {"gpu", NBL_FLAG_GPU_KERNELS}};

using Case = std::tuple<uint32_t, Kernels, bool>;  // chunk, kernels, fused

class Stories : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    NBL_REQUIRE_STORIES();
  }
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& [chunk, kernels, fused] = info.param;
  return "chunk_" + std::to_string(chunk) + "_" + kernels.name + (fused ? "_fused" : "_plain");
}

void expect_close(std::span<const std::vector<float>> rows,
                  std::span<const std::vector<double>> expected, double tolerance) {
  ASSERT_EQ(rows.size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double error = relative_error(rows[i], expected[i]);
    worst = std::max(worst, error);
    ASSERT_LE(error, tolerance) << "position " << i;
  }
  testing::Test::RecordProperty("worst_relative_error", std::to_string(worst));
}

TEST_P(Stories, have_the_logits_of_the_reference_at_every_position) {
  const auto& [chunk, kernels, fused] = GetParam();
  const Reference& expected = reference(fused);
  const std::vector<uint32_t> tokens = expected.all();
  TestEngine engine(stories_file(fused).span(), {.flags = kernels.flags,
                                                 .prefill_chunk = chunk,
                                                 .logits = NBL_LOGITS_ALL});
  std::vector<std::vector<float>> rows =
      engine.logits_of(std::span(tokens).first(kPrefilled), chunk);
  const std::vector<std::vector<float>> decoded =
      engine.logits_of(std::span(tokens).subspan(kPrefilled), 1);
  rows.insert(rows.end(), decoded.begin(), decoded.end());
  expect_close(rows, expected.logits, kTolerance);

  // The same engine from the start: the tokens themselves, in bursts.
  engine.rewind(0);
  engine.evaluate(expected.prompt);
  EXPECT_EQ(engine.generate(kGenerated), expected.generated);
}

INSTANTIATE_TEST_SUITE_P(all, Stories,
                         testing::Combine(testing::Values(1, 3, 16, 64),
                                          testing::ValuesIn(kKernels), testing::Bool()),
                         name_of);

class StoriesOnce : public Stories {};

TEST_P(StoriesOnce, fill_the_whole_context_as_the_reference_does) {
  const auto& [chunk, kernels, fused] = GetParam();
  const AlignedBytes& file = stories_file(fused);
  TestEngine engine(file.span(), {.flags = kernels.flags, .logits = NBL_LOGITS_ALL});
  Interpreter model(file.span());
  const uint32_t context = engine.info().context;
  ASSERT_EQ(context, model.context_length());
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < context; ++i)
    tokens.push_back((i * 37 + 11) % model.vocab_size());
  expect_close(engine.logits_of(tokens, chunk), model.evaluate(tokens), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(all, StoriesOnce,
                         testing::Combine(testing::Values(64), testing::ValuesIn(kKernels),
                                          testing::Values(true)),
                         name_of);

}  // namespace
}  // namespace nbl::test
