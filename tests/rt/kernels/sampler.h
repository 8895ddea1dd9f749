// One row's argmax and sample on the GPU, with the buffers that they share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <span>

#include "rt/kernels/sample.h"
#include "rt/model/model.h"
#include "spirv/step_state.h"
#include "tests/rt/kernels/sample_ref.h"
#include "tests/support/gpu.h"
#include "tests/support/random.h"

namespace nbl::test {

// Rows of logits with NaN in their padding, which must never be looked at.
inline std::vector<uint32_t> to_rows(const std::vector<std::vector<float>>& rows) {
  const uint32_t stride = row_stride(static_cast<uint32_t>(rows.front().size()));
  std::vector<uint32_t> words(rows.size() * stride, kPoison);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t i = 0; i < rows[r].size(); ++i) {
      words[r * stride + i] = std::bit_cast<uint32_t>(rows[r][i]);
    }
  }
  return words;
}

// One recording's buffers: argmax once, then sample as often as asked, as the logits stay the same.
struct Sampler {
  Gpu* gpu;
  Caps caps;
  SampleArgs args;
  std::vector<uint32_t> logits;
  std::vector<uint32_t> step = empty_step();
  std::vector<uint32_t> results = {};
  std::vector<uint32_t> partial = {};

  static std::vector<uint32_t> empty_step() {
    std::vector<uint32_t> words(STEP_TOKENS + 8, 0);
    std::fill_n(words.begin() + STEP_STOPS, STEP_STOP_COUNT, STEP_NO_STOP);
    return words;
  }

  static Sampler of(Gpu* gpu, const Caps& caps, const std::vector<float>& row) {
    return {gpu, caps, {static_cast<uint32_t>(row.size()), 1, false}, to_rows({row})};
  }

  void set(const SampleRule& rule, uint32_t position, uint32_t token_count = 1) {
    step[STEP_INPUT_POS] = position;
    step[STEP_TOKEN_COUNT] = token_count;
    step[STEP_OUT_INDEX] = 0;
    step[STEP_TEMPERATURE] = std::bit_cast<uint32_t>(rule.temperature);
    step[STEP_TOP_K] = rule.top_k;
    step[STEP_TOP_P] = std::bit_cast<uint32_t>(rule.top_p);
    step[STEP_SEED_LO] = static_cast<uint32_t>(rule.seed);
    step[STEP_SEED_HI] = static_cast<uint32_t>(rule.seed >> 32);
    step[STEP_MIN_P] = std::bit_cast<uint32_t>(rule.min_p);
  }

  // The tokens in front of the step's.
  void remember(std::span<const uint32_t> tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      step[STEP_RECENT + i % STEP_MOST_WINDOW] = tokens[i];
  }

  void adjust(const AdjustRule& rule) {
    step[STEP_WINDOW] = rule.window;
    step[STEP_REPEAT_PENALTY] = std::bit_cast<uint32_t>(rule.repeat);
    step[STEP_PRESENCE_PENALTY] = std::bit_cast<uint32_t>(rule.presence);
    step[STEP_FREQUENCY_PENALTY] = std::bit_cast<uint32_t>(rule.frequency);
    step[STEP_BIAS_COUNT] = static_cast<uint32_t>(rule.biases.size());
    for (uint32_t i = 0; i < rule.biases.size(); ++i) {
      step[STEP_BIAS + 2 * i] = rule.biases[i].first;
      step[STEP_BIAS + 2 * i + 1] = std::bit_cast<uint32_t>(rule.biases[i].second);
    }
  }

  void run_argmax() {
    partial.assign(argmax_partial_bytes(argmax_slices(caps, args.vocab)) / 4, kPoison);
    KernelCall call;
    EXPECT_TRUE(call_argmax(caps, args, &call, nullptr).ok());
    EXPECT_EQ(gpu->run(call, {reads(step), writes(logits), writes(partial)}), "");
  }

  // The tokens of `count` steps in a row on the same logits. The k-th draw is for position +
  // token_count + k.
  std::vector<uint32_t> run_sample(uint32_t count) {
    results.assign(count, kPoison);
    KernelCall call;
    EXPECT_TRUE(call_sample(caps, args, &call, nullptr).ok());
    EXPECT_EQ(
        gpu->run(call, {writes(step), writes(logits), reads(partial), writes(results)}, count), "");
    return results;
  }

  // Both. Whatever argmax changes, sample takes back.
  std::vector<uint32_t> run(uint32_t count = 1) {
    const std::vector<uint32_t> before = logits;
    run_argmax();
    run_sample(count);
    EXPECT_EQ(logits, before);
    return results;
  }
};

inline std::vector<Caps> both(Gpu* gpu) {
  return {gpu->caps(), gpu->floor_of_caps()};
}

inline std::vector<float> random_logits(Random* random, uint32_t vocab, float spread) {
  std::vector<float> logits = random->normals(vocab);
  for (float& logit : logits)
    logit = logit * spread + 3;
  return logits;
}

}  // namespace nbl::test
