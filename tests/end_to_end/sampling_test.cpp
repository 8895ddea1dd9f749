// Could break: what penalties and biases remember between steps of a burst, bursts, chunks and
// after going back; what the calls that set them refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "rt/nibble.hpp"
#include "tests/rt/kernels/sample_ref.h"
#include "tests/support/chi_square.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/random.h"
#include "tests/support/sampling_options.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kContext = 200;
constexpr uint32_t kVocab = 311;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

const AlignedBytes& model_file() {
  static const AlignedBytes file = [] {
    compiler::Checkpoint checkpoint = small_llama(
        {.dim = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 96, .vocab = kVocab});
    checkpoint.hyper.context = kContext;
    return build_model(checkpoint, {.context = kContext, .prefill_chunk = 16});
  }();
  return file;
}

std::vector<uint32_t> prompt_of(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 71 + 5) % kVocab);
  return tokens;
}

// Both forms of one setting.
struct Setting {
  const char* name;
  SamplingOptions sampling = {};
  std::vector<nbl_logit_bias> biases = {};

  SampleRule rule() const {
    return {sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed, sampling.min_p};
  }
  AdjustRule adjust() const {
    AdjustRule rule;
    for (const nbl_logit_bias& b : biases)
      rule.biases.emplace_back(b.token, b.bias);
    if (sampling.repeat_penalty != 0) rule.repeat = sampling.repeat_penalty;
    rule.presence = sampling.presence_penalty;
    rule.frequency = sampling.frequency_penalty;
    rule.window = sampling.penalty_window == 0 ? 64 : sampling.penalty_window;
    return rule;
  }
};

const Setting kSettings[] = {
    {"greedy with a repeat penalty", {.repeat_penalty = 1.3f}},
    {"greedy with all penalties",
     {.repeat_penalty = 1.1f,
      .presence_penalty = 0.2f,
      .frequency_penalty = 0.1f,
      .penalty_window = 1024}},
    {"greedy that likes to repeat", {.frequency_penalty = -0.4f, .penalty_window = 3}},
    {"greedy with biases", {}, {{7, 3.0f}, {310, -kInfinity}, {0, -2.0f}}},
    {"min p", {.temperature = 1.2f, .seed = 77, .min_p = 0.2f}},
    {"everything",
     {.temperature = 0.8f,
      .top_k = 60,
      .top_p = 0.95f,
      .seed = 1234567,
      .min_p = 0.02f,
      .repeat_penalty = 1.2f,
      .presence_penalty = 0.3f,
      .frequency_penalty = 0.2f,
      .penalty_window = 40},
     {{9, 1.5f}, {11, -kInfinity}}},
};

void set(TestEngine* engine, const Setting& setting) {
  engine->set_sampling(setting.sampling);
  nbl_error error = {};
  ASSERT_EQ(nbl_set_logit_bias(engine->get(), setting.biases.data(),
                               static_cast<uint32_t>(setting.biases.size()), &error),
            0u)
      << sentence(error);
}

std::vector<uint32_t> sampled(TestEngine* engine, const Setting& setting, uint32_t prompt,
                              uint32_t count) {
  engine->rewind(0);
  set(engine, setting);
  engine->evaluate(prompt_of(prompt));
  return engine->generate(count);
}

class Sampling : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

// Step by step from the model's own logits, in float64.
TEST_F(Sampling, chooses_what_the_reference_chooses) {
  for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_FLOOR_KERNELS}}) {
    TestEngine engine(model_file().span(), {.flags = flags, .logits = NBL_LOGITS_LAST});
    for (const Setting& setting : kSettings) {
      engine.rewind(0);
      set(&engine, setting);
      std::vector<uint32_t> context = prompt_of(37);
      engine.evaluate(context);
      uint32_t different = 0;
      for (int step = 0; step < 80; ++step) {
        const std::vector<double> logits =
            adjust_reference(engine.logits()[0], setting.adjust(), context);
        const uint32_t position = static_cast<uint32_t>(context.size());
        different += engine.next_token() != sample_reference(logits, setting.rule(), position);
        context.push_back(engine.generate(1)[0]);
      }
      EXPECT_LE(different, setting.sampling.temperature > 0 ? 1u : 0u) << setting.name;
    }
  }
}

TEST_F(Sampling, does_not_depend_on_the_size_of_bursts) {
  for (const Setting& setting : kSettings) {
    std::vector<uint32_t> first;
    for (const uint32_t burst : {32u, 1u, 4u}) {
      TestEngine engine(model_file().span(), {.max_burst = burst});
      const std::vector<uint32_t> tokens = sampled(&engine, setting, 9, 150);
      if (first.empty()) first = tokens;
      EXPECT_EQ(tokens, first) << setting.name << " in bursts of " << burst;
    }
  }
}

TEST_F(Sampling, does_not_depend_on_how_the_prompt_is_cut) {
  TestEngine engine(model_file().span());
  const std::vector<uint32_t> prompt = prompt_of(90);
  for (const Setting& setting : kSettings) {
    const std::vector<uint32_t> whole = sampled(&engine, setting, 90, 40);
    for (const size_t part : {1u, 7u, 16u, 17u}) {
      engine.rewind(0);
      for (size_t at = 0; at < prompt.size(); at += part)
        engine.evaluate(std::span(prompt).subspan(at, std::min(part, prompt.size() - at)));
      EXPECT_EQ(engine.generate(40), whole) << setting.name << " in parts of " << part;
    }
  }
}

TEST_F(Sampling, forgets_what_was_rewound) {
  TestEngine engine(model_file().span());
  for (const Setting& setting : kSettings) {
    const std::vector<uint32_t> whole = sampled(&engine, setting, 20, 100);
    for (const uint32_t back : {100u, 70u, 21u}) {
      // Something else in between, which must leave no trace.
      engine.rewind(back);
      engine.evaluate(prompt_of(5));
      engine.generate(30);
      engine.rewind(back);
      engine.evaluate({&whole[back - 20], 1});
      const auto next = whole.begin() + (back - 19);
      EXPECT_EQ(engine.generate(10), std::vector<uint32_t>(next, next + 10))
          << setting.name << " back to " << back;
    }
  }
}

// The window is of the context, not of the time since the penalty was asked for.
TEST_F(Sampling, remembers_what_came_before_penalties_were_set) {
  TestEngine engine(model_file().span());
  const std::vector<uint32_t> expected = sampled(&engine, kSettings[1], 50, 30);
  engine.rewind(0);
  set(&engine, {"off"});
  const std::vector<uint32_t> prompt = prompt_of(50);
  engine.evaluate({prompt.data(), 49});
  set(&engine, kSettings[1]);
  engine.evaluate({&prompt[49], 1});
  EXPECT_EQ(engine.generate(30), expected);
}

TEST_F(Sampling, leaves_the_logits_alone) {
  TestEngine engine(model_file().span(), {.logits = NBL_LOGITS_ALL});
  const std::vector<uint32_t> prompt = prompt_of(12);
  engine.evaluate(prompt);
  const auto plain = engine.logits();
  for (const Setting& setting : kSettings) {
    engine.rewind(0);
    set(&engine, setting);
    engine.evaluate(prompt);
    EXPECT_EQ(engine.logits(), plain) << setting.name;
  }
}

TEST_F(Sampling, bans_and_forces_tokens) {
  TestEngine engine(model_file().span());
  const std::vector<uint32_t> free = sampled(&engine, {"off"}, 9, 20);
  Setting banned{"banned", {.temperature = 1.5f, .seed = 5}};
  for (uint32_t i = 0; i < 256; ++i)
    banned.biases.push_back({i + 20, -kInfinity});
  for (const uint32_t token : sampled(&engine, banned, 9, 100))
    EXPECT_TRUE(token < 20 || token >= 276) << token;
  EXPECT_EQ(sampled(&engine, {"forced", {.temperature = 1}, {{123, 1000.0f}}}, 9, 20),
            std::vector<uint32_t>(20, 123));
  EXPECT_EQ(sampled(&engine, {"off"}, 9, 20), free) << "count 0 ends it";
}

TEST_F(Sampling, draws_from_the_right_distribution) {
  TestEngine engine(model_file().span(), {.logits = NBL_LOGITS_LAST});
  Random random(41);
  Setting setting = kSettings[5];
  const std::vector<uint32_t> prompt = prompt_of(30);
  std::vector<uint32_t> seen(kVocab, 0);
  std::vector<double> p(kVocab, 0.0);
  engine.evaluate({prompt.data(), 29});
  for (int draw = 0; draw < 1500; ++draw) {
    setting.sampling.seed = uint64_t{random.below(~0u)} << 32 | random.below(~0u);
    set(&engine, setting);
    engine.evaluate({&prompt[29], 1});
    ++seen[engine.next_token()];
    engine.rewind(29);
  }
  engine.evaluate({&prompt[29], 1});
  const auto survivors = survivors_reference(
      adjust_reference(engine.logits()[0], setting.adjust(), prompt), setting.rule());
  double total = 0;
  for (const Survivor& s : survivors)
    total += std::exp(-s.distance);
  for (const Survivor& s : survivors)
    p[s.index] = std::exp(-s.distance) / total;
  EXPECT_GT(fit_of(seen, p).far, 1e-6) << survivors.size() << " tokens";
}

TEST_F(Sampling, refuses_what_it_cannot_do_and_changes_nothing) {
  TestEngine engine(model_file().span());
  const std::vector<uint32_t> expected = sampled(&engine, kSettings[5], 9, 60);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  nbl_error error = {};
  const auto expect = [&](nbl_status status, const char* name, const std::string& text) {
    EXPECT_STREQ(nbl_status_name(status), name);
    EXPECT_EQ(sentence(error), text);
  };
  const auto refuse = [&](const SamplingOptions& options, const std::string& why) {
    const nbl_sampling bad = options;
    expect(nbl_set_sampling(engine.get(), &bad, &error), "bad_sampling",
           "the sampling is refused: " + why);
  };
  for (const float bad : {-0.1f, 1.1f, nan, kInfinity, -kInfinity}) {
    refuse({.min_p = bad}, "min_p must be 0 to 1");
    refuse({.top_p = bad}, "top_p must be 0 to 1");
  }
  for (const float bad : {-0.1f, 1001.0f, nan, kInfinity, -kInfinity})
    refuse({.temperature = bad}, "temperature must be 0 to 1000");
  for (const float bad : {-1.0f, 0.009f, 100.5f, nan, kInfinity, -kInfinity})
    refuse({.repeat_penalty = bad}, "repeat_penalty must be 0 or 0.01 to 100");
  for (const float bad : {-100.5f, 100.5f, nan, kInfinity, -kInfinity}) {
    refuse({.presence_penalty = bad}, "presence_penalty must be -100 to 100");
    refuse({.frequency_penalty = bad}, "frequency_penalty must be -100 to 100");
  }
  const nbl_sampling wide = SamplingOptions{.repeat_penalty = 2, .penalty_window = 1025};
  expect(nbl_set_sampling(engine.get(), &wide, &error), "bad_argument",
         "argument penalty_window is 1025; it must be at most 1024");

  std::vector<nbl_logit_bias> biases;
  for (uint32_t i = 0; i < 257; ++i)
    biases.push_back({i, 100});
  expect(nbl_set_logit_bias(engine.get(), biases.data(), 257, &error), "bad_argument",
         "argument count (of logit biases) is 257; it must be at most 256");
  biases[200].token = kVocab;
  expect(nbl_set_logit_bias(engine.get(), biases.data(), 256, &error), "token_out_of_range",
         "token 311 is out of range: the vocabulary has 311");
  biases[200].token = 17;
  expect(nbl_set_logit_bias(engine.get(), biases.data(), 256, &error), "bad_sampling",
         "the sampling is refused: a token has two logit biases");
  biases[200].token = 200;
  for (const float bad : {nan, kInfinity, 1.1e6f, -1.1e6f}) {
    biases[200].bias = bad;
    expect(nbl_set_logit_bias(engine.get(), biases.data(), 256, &error), "bad_sampling",
           "the sampling is refused: a logit bias must be -infinity or -1e6 to 1e6");
  }
  expect(nbl_set_logit_bias(engine.get(), nullptr, 1, &error), "missing_argument",
         "argument biases is missing");
  expect(nbl_set_logit_bias(nullptr, biases.data(), 1, &error), "missing_argument",
         "argument engine is missing");

  engine.rewind(0);
  engine.evaluate(prompt_of(9));
  EXPECT_EQ(engine.generate(60), expected);
}

TEST_F(Sampling, costs_no_dispatch) {
  TestEngine engine(model_file().span());
  const nbl_info before = engine.info();
  sampled(&engine, kSettings[5], 9, 10);
  EXPECT_EQ(engine.info().decode_dispatches, before.decode_dispatches);
  EXPECT_EQ(engine.info().decode_barriers, before.decode_barriers);
}

}  // namespace
}  // namespace nbl::test
