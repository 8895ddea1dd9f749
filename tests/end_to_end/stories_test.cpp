// Could break: any kernel, barrier, offset or position in the whole chain from a trained checkpoint
// to its logits, for one chunk size, kernel choice or fusion and not for another. The reference is
// the float64 interpreter on the same file.
#include "tests/support/stories.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/engine.h"
#include "tests/support/interpreter.h"

namespace nbl::test {
namespace {

constexpr uint32_t kGenerated = 200;
// The rest goes through decode. Leaves a remainder for every chunk size.
constexpr uint32_t kPrefilled = 143;
constexpr double kTolerance = 1e-3;
constexpr double kMedianTolerance = 1e-4;
// How much float32 kernels differ from the reference before the cache. It decides which way some
// f16 entries round, and one entry changes the logits by 1e-5, or by 2e-3 where the text hangs on
// it.
constexpr double kNoise = 1e-6;
constexpr uint64_t kNoiseSeeds = 6;

struct Reference {
  std::vector<uint32_t> prompt;
  std::vector<uint32_t> generated;
  std::vector<std::vector<double>> logits;  // of prompt and generated
  std::vector<double> allowed;              // relative errors: kTolerance where nothing hangs

  std::vector<uint32_t> all() const {
    std::vector<uint32_t> tokens = prompt;
    tokens.insert(tokens.end(), generated.begin(), generated.end());
    return tokens;
  }
};

// What the reference differs from itself where its cache entries round differently, four times.
std::vector<double> allowed_errors(const AlignedBytes& file, std::span<const uint32_t> tokens,
                                   std::span<const std::vector<double>> logits) {
  std::vector<double> allowed(tokens.size(), kTolerance);
  Interpreter model(file.span());
  for (uint64_t seed = 0; seed < kNoiseSeeds; ++seed) {
    model.reset();
    model.set_cache_noise(kNoise, seed);
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::vector<double> noisy = model.step(tokens[i]);
      const std::vector<float> row(noisy.begin(), noisy.end());
      allowed[i] = std::max(allowed[i], 4 * relative_error(row, logits[i]));
    }
  }
  return allowed;
}

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
  r.allowed = allowed_errors(file, r.all(), r.logits);
  return r;
}

struct Kernels {
  const char* name;
  uint32_t flags;
};
void PrintTo(const Kernels& kernels, std::ostream* out) {
  *out << kernels.name;
}
constexpr Kernels kKernels[] = {{"default", NBL_FLAG_FLOAT32},
                                {"floor", NBL_FLAG_FLOOR_KERNELS},
                                {"gpu", NBL_FLAG_GPU_KERNELS | NBL_FLAG_FLOAT32}};

using Case = std::tuple<Kernels, bool>;  // kernels, fused

class Stories : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    NBL_REQUIRE_STORIES();
  }
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& [kernels, fused] = info.param;
  return std::string(kernels.name) + (fused ? "_fused" : "_plain");
}

void expect_close(std::span<const std::vector<float>> rows,
                  std::span<const std::vector<double>> expected, std::span<const double> allowed) {
  ASSERT_EQ(rows.size(), expected.size());
  std::vector<double> errors;
  for (size_t i = 0; i < rows.size(); ++i) {
    errors.push_back(relative_error(rows[i], expected[i]));
    ASSERT_LE(errors.back(), allowed[i]) << "position " << i;
  }
  std::nth_element(errors.begin(), errors.begin() + std::ssize(errors) / 2, errors.end());
  EXPECT_LE(errors[errors.size() / 2], kMedianTolerance);
}

void expect_story(TestEngine* engine, uint32_t chunk, const Reference& expected) {
  const std::vector<uint32_t> tokens = expected.all();
  std::vector<std::vector<float>> rows =
      engine->logits_of(std::span(tokens).first(kPrefilled), chunk);
  const std::vector<std::vector<float>> decoded =
      engine->logits_of(std::span(tokens).subspan(kPrefilled), 1);
  rows.insert(rows.end(), decoded.begin(), decoded.end());
  expect_close(rows, expected.logits, expected.allowed);

  // The same engine from the start: the tokens themselves, in bursts.
  engine->rewind(0);
  engine->evaluate(expected.prompt);
  EXPECT_EQ(engine->generate(kGenerated), expected.generated);
}

TEST_P(Stories, have_the_logits_of_the_reference_at_every_position) {
  const auto& [kernels, fused] = GetParam();
  for (const uint32_t chunk : {1u, 3u, 16u, 64u}) {
    SCOPED_TRACE("chunks of " + std::to_string(chunk));
    TestEngine engine(stories_file(fused).span(),
                      {.flags = kernels.flags, .prefill_chunk = chunk, .logits = NBL_LOGITS_ALL});
    expect_story(&engine, chunk, reference(fused));
  }
}

INSTANTIATE_TEST_SUITE_P(all, Stories,
                         testing::Combine(testing::ValuesIn(kKernels), testing::Bool()), name_of);

class StoriesOnce : public Stories {};

TEST_P(StoriesOnce, fill_the_whole_context_as_the_reference_does) {
  const auto& [kernels, fused] = GetParam();
  const AlignedBytes& file = stories_file(fused);
  TestEngine engine(file.span(), {.flags = kernels.flags, .logits = NBL_LOGITS_ALL});
  Interpreter model(file.span());
  const uint32_t context = engine.info().context;
  ASSERT_EQ(context, model.context_length());
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < context; ++i)
    tokens.push_back((i * 37 + 11) % model.vocab_size());
  const std::vector<std::vector<double>> expected = model.evaluate(tokens);
  expect_close(engine.logits_of(tokens, 64), expected, allowed_errors(file, tokens, expected));
}

INSTANTIATE_TEST_SUITE_P(all, StoriesOnce,
                         testing::Combine(testing::ValuesIn(kKernels), testing::Values(true)),
                         name_of);

}  // namespace
}  // namespace nbl::test
