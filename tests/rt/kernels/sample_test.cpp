// What could break: ties and NaN in the argmax, the thresholds of top-k and top-p, the random
// numbers and the distribution drawn from them, and the step buffer for the step after.
#include "rt/kernels/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "spirv/step_state.h"
#include "tests/rt/kernels/sample_ref.h"
#include "tests/rt/kernels/sampler.h"
#include "tests/support/random.h"

namespace nbl::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr uint32_t kVocabs[] = {1, 2, 31, 512, 32000, 128256};

TEST(Sample, finds_the_largest_logit_of_every_vocabulary) {
  NBL_REQUIRE_GPU(gpu);
  Random random(1);
  for (const uint32_t vocab : kVocabs) {
    for (const Caps& caps : both(gpu)) {
      for (int round = 0; round < 6; ++round) {
        std::vector<float> logits = random_logits(&random, vocab, 5);
        // The first and last element, and a tie whose lower index wins.
        if (round == 1) logits.front() = 100;
        if (round == 2) logits.back() = 100;
        if (round == 3) logits[random.below(vocab)] = logits[random.below(vocab)] = 100;
        if (round == 4) std::fill(logits.begin(), logits.end(), -7.0f);
        Sampler sampler = Sampler::of(gpu, caps, logits);
        sampler.set({}, 0);
        EXPECT_EQ(sampler.run()[0], argmax_reference(logits)) << vocab << " round " << round;
      }
    }
  }
}

TEST(Sample, treats_zeros_and_small_numbers_as_documented) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<std::pair<std::vector<float>, uint32_t>> cases = {
      {{-0.0f, 0.0f}, 0},      {{0.0f, -0.0f}, 0}, {{-1, -0.0f, 0.0f, -2}, 1},
      {{-1e-40f, -1e-39f}, 0}, {{-3, -2, -5}, 1},  {{-3e38f, 3e38f, 1}, 1},
  };
  for (const Caps& caps : both(gpu)) {
    for (size_t i = 0; i < cases.size(); ++i) {
      for (const float temperature : {0.0f, 1e-7f, -1.0f, kNan}) {
        Sampler sampler = Sampler::of(gpu, caps, cases[i].first);
        sampler.set({.temperature = temperature}, 0);
        EXPECT_EQ(sampler.run()[0], cases[i].second) << "case " << i << " T " << temperature;
      }
    }
  }
}

// Wherever it is in a row of several slices, and whatever else is asked for.
TEST(Sample, gives_no_token_where_a_logit_is_not_finite) {
  NBL_REQUIRE_GPU(gpu);
  Random random(6);
  constexpr uint32_t kVocab = 5003;
  for (const Caps& caps : both(gpu)) {
    for (const uint32_t at : {0u, 1u, 1023u, 1024u, 3000u, kVocab - 1}) {
      for (const float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
        for (const float temperature : {0.0f, 0.9f}) {
          std::vector<float> logits = random_logits(&random, kVocab, 3);
          logits[at] = bad;
          Sampler sampler = Sampler::of(gpu, caps, logits);
          sampler.set({.temperature = temperature, .top_k = 40, .top_p = 0.9f}, 40, 3);
          std::vector<uint32_t> after = sampler.step;
          // The row of the last of three tokens; steps after it do nothing.
          EXPECT_EQ(sampler.run(2), (std::vector<uint32_t>{STEP_NOT_FINITE + 2, kPoison}))
              << bad << " at " << at;
          after[STEP_INPUT_POS] = 43;
          after[STEP_TOKEN_COUNT] = 0;
          after[STEP_OUT_INDEX] = 1;
          after[STEP_TOKENS] = STEP_NOT_FINITE + 2;
          after[STEP_RECENT + 40] = sampler.step[STEP_RECENT + 40];
          EXPECT_EQ(sampler.step, after);
        }
      }
    }
  }
}

// -infinity is how a bias bans a token; everything else is still found.
TEST(Sample, tells_a_ban_from_a_logit_that_is_not_finite) {
  NBL_REQUIRE_GPU(gpu);
  for (const Caps& caps : both(gpu)) {
    for (const float temperature : {0.0f, 0.9f}) {
      const AdjustRule ban{.biases = {{2, -kInfinity}}};
      Sampler sampler = Sampler::of(gpu, caps, {-90, 3, 9, -90});
      sampler.set({.temperature = temperature}, 0);
      sampler.adjust(ban);
      EXPECT_EQ(sampler.run()[0], 1u);
      for (const float bad : {kNan, kInfinity}) {
        for (const uint32_t at : {0u, 2u}) {
          std::vector<float> logits = {-90, 3, 9, -90};
          logits[at] = bad;
          Sampler spoilt = Sampler::of(gpu, caps, logits);
          spoilt.set({.temperature = temperature}, 0);
          spoilt.adjust(ban);
          EXPECT_EQ(spoilt.run()[0], STEP_NOT_FINITE) << bad << " at " << at;
        }
      }
      // A penalty bans nothing.
      Sampler worse = Sampler::of(gpu, caps, {1, -kInfinity, 2});
      worse.set({.temperature = temperature}, 1);
      worse.adjust({.repeat = 2, .window = 1});
      EXPECT_EQ(worse.run()[0], STEP_NOT_FINITE);
    }
  }
}

TEST(Sample, names_the_first_row_that_is_not_finite) {
  NBL_REQUIRE_GPU(gpu);
  Random random(7);
  for (const Caps& caps : both(gpu)) {
    for (uint32_t live = 1; live <= 5; ++live) {
      for (uint32_t bad = 0; bad < 5; ++bad) {
        std::vector<std::vector<float>> rows;
        for (int r = 0; r < 5; ++r)
          rows.push_back(random_logits(&random, 2100, 3));
        rows[bad][random.below(2100)] = kNan;
        rows[4][random.below(2100)] = kInfinity;
        Sampler sampler{gpu, caps, {2100, 5, true}, to_rows(rows)};
        sampler.set({}, 10, live);
        // Rows past the live ones are not looked at.
        EXPECT_EQ(sampler.run()[0], bad < live || live == 5 ? STEP_NOT_FINITE + bad
                                                            : argmax_reference(rows[live - 1]))
            << bad << " of " << live;
      }
    }
  }
}

TEST(Sample, advances_the_step_buffer_for_the_next_step) {
  NBL_REQUIRE_GPU(gpu);
  for (const float temperature : {0.0f, 0.9f}) {
    Sampler sampler = Sampler::of(gpu, gpu->caps(), {1, 2, 9, 3, 0});
    sampler.set({.temperature = temperature, .seed = 5}, 40, 7);
    sampler.step[STEP_TOKENS + 1] = 1234;
    const std::vector<uint32_t> before = sampler.step;
    const std::vector<uint32_t> tokens = sampler.run(3);
    std::vector<uint32_t> after = before;
    after[STEP_INPUT_POS] = 40 + 7 + 2;
    after[STEP_TOKEN_COUNT] = 1;
    after[STEP_OUT_INDEX] = 3;
    after[STEP_TOKENS] = tokens[2];
    // As far as steps of one token go, they are remembered.
    after[STEP_RECENT + 40] = before[STEP_TOKENS];
    after[STEP_RECENT + 47] = tokens[0];
    after[STEP_RECENT + 48] = tokens[1];
    EXPECT_EQ(sampler.step, after) << "parameters and other words stay";
  }
  // No room for the result: nothing is written past the end, the step goes on.
  Sampler sampler = Sampler::of(gpu, gpu->caps(), {1, 2, 9, 3, 0});
  sampler.set({}, 0);
  sampler.step[STEP_OUT_INDEX] = 1;
  EXPECT_EQ(sampler.run(), std::vector<uint32_t>{kPoison});
  EXPECT_EQ(sampler.step[STEP_TOKENS], 2u);
}

TEST(Sample, ends_a_burst_behind_a_stop_token) {
  NBL_REQUIRE_GPU(gpu);
  constexpr uint32_t kFed = 4;
  constexpr uint32_t kSampled = 2;
  for (const float temperature : {0.0f, 0.9f}) {
    for (uint32_t place = 0; place < STEP_STOP_COUNT; ++place) {
      // The token that is fed ends it, not the one that is sampled; of several the last one counts.
      for (const uint32_t stop : {kFed, kSampled, kFed + 1}) {
        Sampler sampler = Sampler::of(gpu, gpu->caps(), {-90, -90, 9, -90, -90, -90});
        sampler.set({.temperature = temperature, .seed = 5}, 40, 3);
        sampler.step[STEP_TOKENS] = kFed + 1;
        sampler.step[STEP_TOKENS + 2] = kFed;
        sampler.step[STEP_STOPS + place] = stop;
        std::vector<uint32_t> after = sampler.step;
        const std::vector<uint32_t> tokens = sampler.run(4);
        const uint32_t steps = stop == kFed ? 1 : stop == kSampled ? 2 : 4;
        for (uint32_t i = 0; i < 4; ++i)
          EXPECT_EQ(tokens[i], i < steps ? kSampled : kPoison) << "stop " << stop << " step " << i;
        after[STEP_INPUT_POS] = 40 + 3 + steps - 1;
        after[STEP_TOKEN_COUNT] = steps == 4 ? 1 : 0;
        after[STEP_OUT_INDEX] = steps;
        after[STEP_RECENT + 40] = kFed + 1;
        for (uint32_t i = 1; i < steps; ++i)
          after[STEP_RECENT + 42 + i] = kSampled;
        after[STEP_TOKENS] = kSampled;
        EXPECT_EQ(sampler.step, after) << "stop " << stop << " in place " << place;
      }
    }
  }
}

TEST(Sample, of_a_step_without_tokens_writes_nothing) {
  NBL_REQUIRE_GPU(gpu);
  for (const Caps& caps : both(gpu)) {
    for (const float temperature : {0.0f, 0.9f}) {
      Sampler sampler = Sampler::of(gpu, caps, {1, 2, 9, 3, 0});
      sampler.set({.temperature = temperature}, 40, 0);
      const std::vector<uint32_t> before = sampler.step;
      EXPECT_EQ(sampler.run(2), (std::vector<uint32_t>{kPoison, kPoison}));
      EXPECT_EQ(sampler.step, before);
      EXPECT_EQ(sampler.partial, std::vector<uint32_t>(sampler.partial.size(), kPoison));
    }
  }
}

TEST(Sample, takes_the_row_of_the_last_live_token) {
  NBL_REQUIRE_GPU(gpu);
  Random random(2);
  std::vector<std::vector<float>> rows;
  for (int r = 0; r < 5; ++r)
    rows.push_back(random_logits(&random, 513, 3));
  for (const Caps& caps : both(gpu)) {
    for (uint32_t live = 1; live <= 5; ++live) {
      for (const float temperature : {0.0f, 1.0f}) {
        const SampleRule rule{.temperature = temperature, .top_k = 50, .top_p = 0.9f, .seed = 3};
        Sampler sampler{gpu, caps, {513, 5, true}, to_rows(rows)};
        sampler.set(rule, 10, live);
        EXPECT_EQ(sampler.run()[0], sample_reference(rows[live - 1], rule, 10 + live));
      }
    }
  }
}

// A draw is decided by float32 and fixed-point numbers here, by float64 there: they differ where
// two tokens' times, or a sum and its limit, lie within about 1e-5 of each other.
TEST(Sample, draws_what_the_reference_draws) {
  NBL_REQUIRE_GPU(gpu);
  Random random(3);
  uint32_t draws = 0;
  uint32_t different = 0;
  for (const uint32_t vocab : kVocabs) {
    const uint32_t count = vocab > 1000 ? 3 : 45;
    for (int round = 0; round < 10; ++round) {
      const SampleRule rule{.temperature = round == 0 ? 1.0f : random.uniform(0.2f, 2.0f),
                            .top_k = round % 2 == 0 ? 0 : 1 + random.below(round < 5 ? 50 : vocab),
                            .top_p = round % 3 == 0 ? 0.0f : random.uniform(0.05f, 0.999f),
                            .seed = (uint64_t{random.below(~0u)} << 32) | random.below(~0u)};
      const std::vector<float> logits = random_logits(&random, vocab, round < 7 ? 3.0f : 0.01f);
      for (const Caps& caps : both(gpu)) {
        Sampler sampler = Sampler::of(gpu, caps, logits);
        sampler.set(rule, 100);
        const std::vector<uint32_t> tokens = sampler.run(count);
        for (uint32_t k = 0; k < count; ++k) {
          const uint32_t expected = sample_reference(logits, rule, 101 + k);
          different += tokens[k] != expected;
          ++draws;
        }
      }
    }
  }
  EXPECT_GT(draws, 3500u);
  EXPECT_LE(different * 1000, draws) << different << " of " << draws;
  RecordProperty("different", static_cast<int>(different));
  std::printf("%u of %u draws differ from the reference\n", different, draws);
}

TEST(Sample, is_greedy_where_only_the_likeliest_token_is_allowed) {
  NBL_REQUIRE_GPU(gpu);
  Random random(4);
  for (const uint32_t vocab : {1u, 31u, 512u, 32000u}) {
    std::vector<float> logits = random_logits(&random, vocab, 1);
    // Neighbours of the maximum within one unit in the last place, at a high temperature.
    logits[vocab / 2] = 50;
    logits[vocab / 3] = std::nextafter(50.0f, 0.0f);
    const uint32_t greedy = argmax_reference(logits);
    for (const Caps& caps : both(gpu)) {
      Sampler sampler = Sampler::of(gpu, caps, logits);
      sampler.set({.temperature = 500, .top_k = 1}, 0);
      for (const uint32_t token : sampler.run(20))
        EXPECT_EQ(token, greedy);
      sampler.set({.temperature = 500, .top_p = 1e-12f}, 0);
      for (const uint32_t token : sampler.run(20))
        EXPECT_EQ(token, greedy);
      sampler.set({.temperature = 1e-5f, .top_p = 0.5f}, 0);
      for (const uint32_t token : sampler.run(20))
        EXPECT_EQ(token, greedy);
    }
  }
}

// With equal logits the order is that of the indices, so the survivors are the first ones, and with
// a hot temperature each of them comes up.
TEST(Sample, cuts_ties_at_the_threshold_by_index) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t vocab : {31u, 512u, 3000u}) {
    std::vector<float> logits(vocab, 1.0f);
    logits[vocab - 1] = 1.5f;  // the first in order
    for (const Caps& caps : both(gpu)) {
      Sampler sampler = Sampler::of(gpu, caps, logits);
      for (const uint32_t k : {2u, 7u, 30u}) {
        sampler.set({.temperature = 10, .top_k = k, .seed = k}, 0);
        std::vector<uint32_t> seen(vocab, 0);
        for (const uint32_t token : sampler.run(40 * k))
          ++seen[token];
        for (uint32_t i = 0; i < vocab; ++i) {
          EXPECT_EQ(seen[i] > 0, i == vocab - 1 || i + 1 < k) << "token " << i << " k " << k;
        }
      }
      // Mass 20.5 / 20 of exp(0.05) and 1 each: p of the sum needs 1 + ceil(rest) tokens.
      const double first = std::exp(0.05);
      const double p = (first + 4.5) / (first + vocab - 1);
      sampler.set({.temperature = 10, .top_p = static_cast<float>(p), .seed = 77}, 0);
      std::vector<uint32_t> seen(vocab, 0);
      for (const uint32_t token : sampler.run(300))
        ++seen[token];
      for (uint32_t i = 0; i < vocab; ++i) {
        EXPECT_EQ(seen[i] > 0, i == vocab - 1 || i < 5) << "token " << i;
      }
    }
  }
}

TEST(Sample, repeats_itself_and_depends_on_seed_and_position) {
  NBL_REQUIRE_GPU(gpu);
  Random random(5);
  const std::vector<float> logits = random_logits(&random, 512, 1);
  const auto draw = [&](uint64_t seed, uint32_t position, uint32_t count) {
    Sampler sampler = Sampler::of(gpu, gpu->caps(), logits);
    sampler.set({.temperature = 1, .top_k = 300, .top_p = 0.95f, .seed = seed}, position);
    return sampler.run(count);
  };
  const std::vector<uint32_t> tokens = draw(1, 0, 64);
  EXPECT_EQ(draw(1, 0, 64), tokens);
  EXPECT_NE(draw(2, 0, 64), tokens);
  EXPECT_NE(draw(1ull << 32 | 1, 0, 64), tokens) << "the seed's high word counts";
  const std::vector<uint32_t> later = draw(1, 24, 40);
  EXPECT_TRUE(std::equal(later.begin(), later.end(), tokens.begin() + 24))
      << "a draw depends on its position, not on how many came before";
}

TEST(Sample, splits_the_row_into_slices_that_cover_it) {
  for (uint32_t vocab = 1; vocab < 300000; vocab += 1 + vocab / 3) {
    for (const uint32_t lanes : {0u, 64u, 1024u, 5000u, 200000u}) {
      Caps caps = floor_caps();
      caps.lanes = lanes;
      const uint32_t slices = argmax_slices(caps, vocab);
      KernelCall call;
      ASSERT_TRUE(call_argmax(caps, {vocab, 1, false}, &call, nullptr).ok());
      const uint32_t used4 = (vocab + 3) / 4;
      const uint32_t slice4 = call.push[4];
      ASSERT_GE(slices, 1u);
      ASSERT_GE(slices * slice4, used4);
      ASSERT_LT((slices - 1) * slice4, used4) << "an empty slice";
    }
  }
}

TEST(Sample, refuses_a_device_below_the_floor) {
  Caps caps = floor_caps();
  caps.max_invocations = 64;
  KernelCall call;
  call.push[0] = 99;
  EXPECT_EQ(call_argmax(caps, {512, 1, false}, &call, nullptr).code(), Code::device_limit);
  EXPECT_EQ(call_sample(caps, {512, 1, false}, &call, nullptr).code(), Code::device_limit);
  EXPECT_EQ(call.push[0], 99u);
}

// The known answers of the Random123 distribution, so that the reference is Philox itself.
TEST(SampleReference, is_philox_4x32_10) {
  EXPECT_EQ(philox_reference({0, 0, 0, 0}, 0, 0),
            (std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox_reference({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u),
            (std::vector<uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

}  // namespace
}  // namespace nbl::test
