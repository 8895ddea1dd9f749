// Could break: what biases and penalties make of logits, where the window begins and ends, tokens
// listed more than once, slices that meet at a vec4, and that the logits come back as they were.
#include <gtest/gtest.h>

#include <limits>

#include "tests/rt/kernels/sampler.h"

namespace nbl::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> floats_of(const std::vector<uint32_t>& words, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = std::bit_cast<float>(words[i]);
  return values;
}

// What argmax does to the row of the last of `fresh` tokens in `context`, and sample takes back.
void expect_adjusted(Gpu* gpu, const Caps& caps, const std::vector<float>& logits,
                     const AdjustRule& rule, const std::vector<uint32_t>& context, uint32_t fresh) {
  Sampler sampler = Sampler::of(gpu, caps, logits);
  const uint32_t before = static_cast<uint32_t>(context.size()) - fresh;
  sampler.set({}, before, fresh);
  sampler.remember(std::span(context).first(before));
  std::copy(context.begin() + before, context.end(), sampler.step.begin() + STEP_TOKENS);
  sampler.adjust(rule);
  const std::vector<double> expected = adjust_reference(logits, rule, context);
  const std::vector<uint32_t> untouched = sampler.logits;
  sampler.run_argmax();
  const std::vector<float> changed = floats_of(sampler.logits, logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isinf(expected[i])) {
      ASSERT_EQ(changed[i], expected[i]) << "token " << i;
    } else if (expected[i] == double{logits[i]}) {
      ASSERT_EQ(changed[i], logits[i]) << "token " << i;
    } else {
      ASSERT_NEAR(changed[i], expected[i], 1e-5 * (1 + std::abs(expected[i]))) << "token " << i;
    }
  }
  // The exact comparison is with what the GPU made of them.
  const uint32_t token = sampler.run_sample(1)[0];
  ASSERT_EQ(token, argmax_reference(changed));
  ASSERT_EQ(sampler.logits, untouched) << "the logits are the model's again";
  EXPECT_EQ(sampler.step[STEP_RECENT + before % STEP_MOST_WINDOW], context[before])
      << "the step's token is remembered";
}

TEST(SampleAdjust, changes_logits_as_the_reference_does) {
  NBL_REQUIRE_GPU(gpu);
  Random random(31);
  for (const uint32_t vocab : {1u, 2u, 31u, 997u, 32000u, 262144u}) {
    for (const Caps& caps : both(gpu)) {
      for (int round = 0; round < 6; ++round) {
        AdjustRule rule{.repeat = random.uniform(0.5f, 2),
                        .presence = random.uniform(-2, 2),
                        .frequency = random.uniform(-1, 1),
                        .window = round == 0   ? 0
                                  : round == 1 ? 1024
                                               : 1 + random.below(300)};
        const uint32_t most = round == 2 ? 0 : round == 3 ? 256 : random.below(40);
        const uint32_t begin = random.below(vocab);
        for (uint32_t i = 0; i < std::min(most, vocab); ++i)
          rule.biases.emplace_back((begin + i * (vocab / 300 + 1)) % vocab, random.normal());
        if (vocab < 300) rule.biases.resize(std::min<size_t>(rule.biases.size(), 1));
        if (!rule.biases.empty() && round % 2 == 1) rule.biases.back().second = -kInfinity;
        const uint32_t fresh = 1 + random.below(8);
        // Few different tokens, the last ones of the vocabulary among them.
        std::vector<uint32_t> context(fresh + random.below(1200));
        for (uint32_t& token : context)
          token = vocab - 1 - random.below(std::min(vocab, round < 4 ? 40u : vocab));
        expect_adjusted(gpu, caps, random_logits(&random, vocab, 4), rule, context, fresh);
      }
    }
  }
}

TEST(SampleAdjust, looks_at_the_window_and_no_further) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> logits(40, 1);
  std::vector<uint32_t> context;
  for (uint32_t i = 0; i < 30; ++i)
    context.push_back(i);
  for (const uint32_t fresh : {1u, 5u}) {
    for (const uint32_t window : {1u, 4u, 5u, 6u, 29u, 30u, 31u, 1024u}) {
      Sampler sampler = Sampler::of(gpu, gpu->caps(), logits);
      sampler.set({}, 30 - fresh, fresh);
      sampler.remember(std::span(context).first(30 - fresh));
      std::copy(context.end() - fresh, context.end(), sampler.step.begin() + STEP_TOKENS);
      sampler.adjust({.presence = 0.5f, .window = window});
      sampler.run_argmax();
      for (uint32_t i = 0; i < 40; ++i) {
        const bool seen = i < 30 && i + window >= 30;
        EXPECT_EQ(std::bit_cast<float>(sampler.logits[i]), seen ? 0.5f : 1.0f)
            << "token " << i << " window " << window;
      }
    }
  }
}

TEST(SampleAdjust, takes_a_window_full_of_one_token) {
  NBL_REQUIRE_GPU(gpu);
  Random random(32);
  const std::vector<uint32_t> context(1100, 17);
  const AdjustRule rule{.biases = {{17, 3.0f}}, .repeat = 1.1f, .frequency = 0.01f, .window = 1024};
  expect_adjusted(gpu, gpu->caps(), random_logits(&random, 64, 1), rule, context, 3);
}

TEST(SampleAdjust, leaves_nan_and_infinite_logits_what_they_are) {
  NBL_REQUIRE_GPU(gpu);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& logits : {std::vector<float>{nan, -kInfinity, 2, 3, -1},
                                           std::vector<float>{1, kInfinity, 2, 3, -1}}) {
    Sampler sampler = Sampler::of(gpu, gpu->caps(), logits);
    sampler.set({}, 4);
    const uint32_t before[] = {0, 1, 2, 3};
    sampler.remember(before);
    sampler.step[STEP_TOKENS] = 4;
    sampler.adjust({.biases = {{3, -kInfinity}}, .repeat = 2, .window = 64});
    EXPECT_EQ(sampler.run()[0], STEP_NOT_FINITE) << "and run() sees the logits as they were";
  }
  // All banned: the first one, as argmax has it.
  Sampler sampler = Sampler::of(gpu, gpu->caps(), {1, 2, 3});
  sampler.set({.temperature = 1}, 0);
  sampler.adjust({.biases = {{0, -kInfinity}, {1, -kInfinity}, {2, -kInfinity}}});
  EXPECT_EQ(sampler.run()[0], 0u);
}

TEST(SampleAdjust, is_of_the_row_of_the_last_live_token) {
  NBL_REQUIRE_GPU(gpu);
  Random random(33);
  std::vector<std::vector<float>> rows;
  for (int r = 0; r < 5; ++r)
    rows.push_back(random_logits(&random, 513, 3));
  const AdjustRule rule{.biases = {{512, 9.0f}}, .presence = 4, .window = 10};
  for (uint32_t live = 1; live <= 5; ++live) {
    Sampler sampler{gpu, gpu->caps(), {513, 5, true}, to_rows(rows)};
    sampler.set({}, 0, live);
    std::vector<uint32_t> context;
    for (uint32_t i = 0; i < live; ++i)
      context.push_back(sampler.step[STEP_TOKENS + i] = 100 * i);
    sampler.adjust(rule);
    EXPECT_EQ(sampler.run()[0], argmax_reference(adjust_reference(rows[live - 1], rule, context)));
  }
}

}  // namespace
}  // namespace nbl::test
