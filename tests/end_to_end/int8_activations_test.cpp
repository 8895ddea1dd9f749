// Could break: a model with int8 activations that decodes with other numbers than its prompt was
// evaluated with, quantizes what it should not, or goes another way than its file says on some kind
// of kernel. The reference is the float64 interpreter on the same file.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/support/claimed_dot.h"
#include "tests/support/engine.h"
#include "tests/support/interpreter.h"
#include "tests/support/random.h"
#include "tests/support/small_llama.h"
#include "tests/support/stories.h"

namespace nbl::test {
namespace {

constexpr uint32_t kGenerated = 100;
// An activation whose quotient lies next to a half is rounded the other way where float32 is 1e-6
// off: a step of 1/255 of its row, which the cache keeps for all positions after it. What that may
// change is measured: the reference differs from itself by about 1e-2 with this noise on what it
// rounds, and by 7e-8 from kernels that happen to round everything as it does.
constexpr double kNoise = 1e-6;
constexpr uint64_t kNoiseSeeds = 8;
// A tie may be broken by a rounding that few of them change; errors are held to the first ones.
constexpr uint64_t kChoiceSeeds = 32;
constexpr double kTolerance = 1e-3;
constexpr double kMedianTolerance = 1e-4;

constexpr uint32_t kKernelFlags[] = {0, NBL_FLAG_FLOOR_KERNELS, NBL_FLAG_GPU_KERNELS};

AlignedBytes int8_model(const compiler::Checkpoint& checkpoint, bool fuse, uint32_t context) {
  BuildOptions options{.context = context, .prefill_chunk = 64};
  options.passes.fuse = fuse;
  options.passes.activations = compiler::Activations::int8;
  return build_model(checkpoint, options);
}

const AlignedBytes& int8_stories(bool fuse) {
  static std::map<bool, AlignedBytes> files;
  const auto [entry, is_new] = files.try_emplace(fuse);
  if (is_new) {
    entry->second = int8_model(compiler::import_checkpoint(stories_folder() / "stories260K.bin",
                                                           stories_folder() / "tok512.bin"),
                               fuse, 512);
  }
  return entry->second;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

// What the reference computes, and how far float32 kernels may be from it.
struct Expected {
  std::vector<uint32_t> tokens;
  std::vector<std::vector<double>> logits;
  std::vector<double> allowed;  // relative errors
  double allowed_median = kMedianTolerance;
  std::vector<std::set<uint32_t>> choices;  // after each token, of the reference with any noise

  Expected(const AlignedBytes& file, std::vector<uint32_t> all,
           std::vector<std::vector<double>> rows)
      : tokens(std::move(all)),
        logits(std::move(rows)),
        allowed(tokens.size(), kTolerance),
        choices(tokens.size()) {
    Interpreter model(file.span());
    for (uint64_t noise = 0; noise < kChoiceSeeds; ++noise) {
      std::vector<double> changes;
      model.reset();
      model.set_cache_noise(kNoise, noise);
      for (size_t i = 0; i < tokens.size(); ++i) {
        const std::vector<double> row = model.step(tokens[i]);
        choices[i].insert(argmax(row));
        if (noise >= kNoiseSeeds) continue;
        changes.push_back(relative_error(std::vector<float>(row.begin(), row.end()), logits[i]));
        allowed[i] = std::max(allowed[i], 4 * changes.back());
      }
      if (noise < kNoiseSeeds) allowed_median = std::max(allowed_median, 2 * median(changes));
    }
    // A value that rounds to the other side may do so at any position; most stay where they are.
    allowed.assign(allowed.size(), *std::max_element(allowed.begin(), allowed.end()));
  }

  void expect_close(std::span<const std::vector<float>> rows) const {
    ASSERT_EQ(rows.size(), logits.size());
    std::vector<double> errors;
    for (size_t i = 0; i < rows.size(); ++i) {
      errors.push_back(relative_error(rows[i], logits[i]));
      EXPECT_LE(errors.back(), allowed[i]) << "position " << i;
    }
    EXPECT_LE(median(errors), allowed_median);
  }

  // The same tokens after the first `prompt`, up to one that the reference chooses with some noise.
  void expect_same_choices(std::span<const uint32_t> generated, size_t prompt) const {
    for (size_t i = 0; i < generated.size(); ++i) {
      if (generated[i] == tokens[prompt + i]) continue;
      EXPECT_TRUE(choices[prompt + i - 1].contains(generated[i])) << "token " << i;
      return;
    }
  }
};

TEST(Int8Activations, tell_the_story_of_the_reference) {
  NBL_REQUIRE_VULKAN();
  NBL_REQUIRE_STORIES();
  for (const bool fuse : {true, false}) {
    const AlignedBytes& file = int8_stories(fuse);
    const std::vector<uint32_t> prompt = TestEngine(file.span()).tokenize("Once upon a time", true);
    Interpreter model(file.span());
    std::vector<std::vector<double>> logits = model.evaluate(prompt);
    std::vector<uint32_t> tokens = prompt;
    while (tokens.size() < prompt.size() + kGenerated) {
      tokens.push_back(argmax(logits.back()));
      logits.push_back(model.step(tokens.back()));
    }
    const Expected expected(file, tokens, logits);
    for (const uint32_t flags : kKernelFlags) {
      SCOPED_TRACE((fuse ? "fused, flags " : "plain, flags ") + std::to_string(flags));
      TestEngine engine(file.span(),
                        {.flags = flags, .prefill_chunk = 16, .logits = NBL_LOGITS_ALL});
      expected.expect_close(engine.logits_of(tokens, 16));
      engine.rewind(0);
      engine.evaluate(prompt);
      expected.expect_same_choices(engine.generate(kGenerated), prompt.size());
    }
  }
}

// Decode is int8 too: a prompt has the same logits token by token and in chunks.
TEST(Int8Activations, are_the_same_in_decode_and_prefill) {
  NBL_REQUIRE_VULKAN();
  NBL_REQUIRE_STORIES();
  const AlignedBytes& file = int8_stories(true);
  const std::vector<uint32_t> tokens =
      TestEngine(file.span()).tokenize("Once upon a time there was a little girl who", true);
  TestEngine chunks(file.span(), {.prefill_chunk = 16, .logits = NBL_LOGITS_ALL});
  TestEngine single(file.span(), {.prefill_chunk = 1, .logits = NBL_LOGITS_ALL});
  const std::vector<std::vector<float>> many = chunks.logits_of(tokens, 16);
  const std::vector<std::vector<float>> one = single.logits_of(tokens, 1);
  ASSERT_EQ(many.size(), one.size());
  for (size_t i = 0; i < many.size(); ++i) {
    const std::vector<double> reference(many[i].begin(), many[i].end());
    EXPECT_LE(relative_error(one[i], reference), 1e-6) << "position " << i;
  }
}

// On a device that accelerates the packed dot product, and on one that does not.
TEST(Int8Activations, have_the_same_bits_with_the_packed_dot_product) {
  NBL_REQUIRE_VULKAN();
  NBL_REQUIRE_STORIES();
  const AlignedBytes& file = int8_stories(true);
  for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_GPU_KERNELS}}) {
    EngineOptions options{.flags = flags, .prefill_chunk = 16, .logits = NBL_LOGITS_ALL};
    TestEngine plain(file.span(), options);
    options.vulkan = ClaimedDot::over(vulkan_entry());
    TestEngine packed(file.span(), options);
    if (!ClaimedDot::enabled()) GTEST_SKIP() << "no VK_KHR_shader_integer_dot_product";
    const std::vector<uint32_t> tokens =
        plain.tokenize("Once upon a time there was a little girl who", true);
    EXPECT_EQ(packed.logits_of(tokens, 16), plain.logits_of(tokens, 16));
    EXPECT_EQ(packed.generate(40), plain.generate(40));
  }
}

TEST(Int8Activations, differ_from_float_by_the_noise_of_rounding_only) {
  NBL_REQUIRE_VULKAN();
  NBL_REQUIRE_STORIES();
  const std::vector<uint32_t> tokens =
      TestEngine(int8_stories(true).span()).tokenize("Once upon a time there was", true);
  for (const uint32_t chunk : {1u, 16u}) {
    TestEngine rounded(int8_stories(true).span(),
                       {.prefill_chunk = chunk, .logits = NBL_LOGITS_ALL});
    TestEngine exact(stories_file().span(), {.prefill_chunk = chunk, .logits = NBL_LOGITS_ALL});
    const std::vector<std::vector<float>> a = rounded.logits_of(tokens, chunk);
    const std::vector<std::vector<float>> b = exact.logits_of(tokens, chunk);
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double error = relative_error(a[i], std::vector<double>(b[i].begin(), b[i].end()));
      worst = std::max(worst, error);
      EXPECT_GT(error, 1e-4) << "position " << i;
    }
    EXPECT_LT(worst, 0.2);
  }
}

// Odd widths and shared heads, tied and not.
TEST(Int8Activations, run_models_of_odd_widths) {
  NBL_REQUIRE_VULKAN();
  for (const bool tied : {true, false}) {
    const LlamaSpec spec{.dim = 100,
                         .heads = 6,
                         .kv_heads = 2,
                         .head_dim = 20,
                         .ffn = 173,
                         .vocab = 401,
                         .tied = tied,
                         .seed = seed()};
    const AlignedBytes file = int8_model(small_llama(spec), true, 64);
    std::vector<uint32_t> tokens;
    for (uint32_t i = 0; i < 40; ++i)
      tokens.push_back(i * 37 % spec.vocab);
    const Expected expected(file, tokens, Interpreter(file.span()).evaluate(tokens));
    for (const uint32_t flags : kKernelFlags) {
      TestEngine engine(file.span(),
                        {.flags = flags, .prefill_chunk = 8, .logits = NBL_LOGITS_ALL});
      std::vector<std::vector<float>> rows = engine.logits_of(std::span(tokens).first(29), 8);
      for (const auto& row : engine.logits_of(std::span(tokens).subspan(29), 1))
        rows.push_back(row);
      expected.expect_close(rows);
    }
  }
}

}  // namespace
}  // namespace nbl::test
