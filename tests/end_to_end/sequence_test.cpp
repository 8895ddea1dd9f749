// Could break: what the engine remembers between calls (position, next token, logits, sampling), in
// every order of calls, and after every call that fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/sampling_options.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kContext = 100;
constexpr uint32_t kVocab = 311;

AlignedBytes make_model(const std::vector<uint32_t>& stop_tokens = {}) {
  compiler::Checkpoint checkpoint = small_llama(
      {.dim = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 96, .vocab = kVocab});
  checkpoint.hyper.context = kContext;
  checkpoint.hyper.stop_tokens = stop_tokens;
  return build_model(checkpoint, {.context = kContext, .prefill_chunk = 16});
}

const AlignedBytes& model_file() {
  static const AlignedBytes file = make_model();
  return file;
}

std::vector<uint32_t> prompt_of(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 71 + 5) % kVocab);
  return tokens;
}

const nbl_sampling kWarm =
    SamplingOptions{.temperature = 0.9f, .top_k = 40, .top_p = 0.95f, .seed = 1234567};

class Sequence : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

std::vector<uint32_t> sampled(TestEngine* engine, const nbl_sampling& sampling, uint32_t prompt,
                              uint32_t count) {
  engine->rewind(0);
  engine->set_sampling(sampling);
  engine->evaluate(prompt_of(prompt));
  return engine->generate(count);
}

TEST_F(Sequence, is_the_same_in_every_run) {
  TestEngine engine(model_file().span());
  const nbl_sampling greedy = {};
  for (const nbl_sampling& sampling : {greedy, kWarm}) {
    const std::vector<uint32_t> first = sampled(&engine, sampling, 21, 60);
    ASSERT_EQ(first.size(), 60u);
    for (int run = 1; run < 5; ++run)
      EXPECT_EQ(sampled(&engine, sampling, 21, 60), first) << "run " << run;
  }
}

TEST_F(Sequence, does_not_depend_on_the_size_of_bursts) {
  std::vector<uint32_t> first;
  for (const uint32_t burst : {32u, 1u, 4u}) {
    TestEngine engine(model_file().span(), {.max_burst = burst});
    const std::vector<uint32_t> tokens = sampled(&engine, kWarm, 9, 70);
    if (first.empty()) first = tokens;
    EXPECT_EQ(tokens, first) << "bursts of " << burst;
    EXPECT_EQ(engine.position(), 79u);
  }
}

// Three engines side by side in one process, which take turns.
TEST_F(Sequence, is_the_same_over_twenty_runs_of_engines_side_by_side) {
  for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_GPU_KERNELS}, uint32_t{NBL_FLAG_CHAIN}}) {
    TestEngine one(model_file().span(), {.flags = flags, .max_burst = 1});
    TestEngine four(model_file().span(), {.flags = flags, .max_burst = 4});
    TestEngine many(model_file().span(), {.flags = flags, .max_burst = 32});
    const std::vector<uint32_t> first = sampled(&one, kWarm, 13, 37);
    ASSERT_EQ(first.size(), 37u);
    for (int run = 0; run < 20; ++run) {
      for (TestEngine* engine : {&one, &four, &many}) {
        engine->rewind(0);
        engine->set_sampling(kWarm);
        engine->evaluate(prompt_of(13));
      }
      std::vector<uint32_t> tokens[3];
      for (const uint32_t part : {5u, 32u}) {
        for (int i = 0; i < 3; ++i) {
          TestEngine* const engine = i == 0 ? &one : i == 1 ? &four : &many;
          const std::vector<uint32_t> some = engine->generate(part);
          tokens[i].insert(tokens[i].end(), some.begin(), some.end());
        }
      }
      for (const std::vector<uint32_t>& got : tokens)
        EXPECT_EQ(got, first) << "run " << run << " flags " << flags;
    }
  }
}

TEST_F(Sequence, does_not_depend_on_who_asks_for_the_next_step) {
  TestEngine engine(model_file().span());
  const std::vector<uint32_t> burst = sampled(&engine, kWarm, 9, 40);
  const uint32_t next = engine.next_token();
  engine.rewind(0);
  engine.evaluate(prompt_of(9));
  for (size_t i = 0; i < burst.size(); ++i) {
    const uint32_t token = engine.next_token();
    ASSERT_EQ(token, burst[i]) << "step " << i;
    if (i % 2 == 0) {
      engine.evaluate({&token, 1});
    } else {
      ASSERT_EQ(engine.generate(1), std::vector<uint32_t>{token});
    }
  }
  EXPECT_EQ(engine.next_token(), next);
}

TEST_F(Sequence, does_not_depend_on_how_the_prompt_is_cut) {
  TestEngine engine(model_file().span());
  const std::vector<uint32_t> whole = sampled(&engine, kWarm, 45, 30);
  const std::vector<uint32_t> prompt = prompt_of(45);
  for (const size_t part : {1u, 2u, 7u, 16u, 17u, 44u}) {
    engine.rewind(0);
    for (size_t at = 0; at < prompt.size(); at += part)
      engine.evaluate(std::span(prompt).subspan(at, std::min(part, prompt.size() - at)));
    EXPECT_EQ(engine.generate(30), whole) << "parts of " << part;
  }
}

TEST_F(Sequence, changes_with_the_seed_and_the_temperature) {
  TestEngine engine(model_file().span());
  nbl_sampling other = kWarm;
  other.seed += 1;
  const std::vector<uint32_t> first = sampled(&engine, kWarm, 9, 40);
  EXPECT_NE(sampled(&engine, other, 9, 40), first);
  const std::vector<uint32_t> greedy = sampled(&engine, {}, 9, 40);
  EXPECT_NE(greedy, first);
  EXPECT_EQ(sampled(&engine, SamplingOptions{.temperature = 1, .top_k = 1, .seed = 9}, 9, 40),
            greedy);
}

TEST_F(Sequence, is_the_same_after_going_back) {
  TestEngine engine(model_file().span(), {.logits = NBL_LOGITS_ALL});
  const std::vector<uint32_t> prompt = prompt_of(60);
  const auto rows = engine.logits_of(prompt, 16);
  for (const uint32_t back : {48u, 16u, 0u}) {
    engine.rewind(back);
    EXPECT_EQ(engine.position(), back);
    // Something else in between, which must leave no trace.
    engine.evaluate(prompt_of(3));
    engine.rewind(back);
    const auto again = engine.logits_of(std::span(prompt).subspan(back), 16);
    for (size_t i = 0; i < again.size(); ++i)
      ASSERT_EQ(again[i], rows[back + i]) << "position " << back + i;
  }
}

TEST_F(Sequence, ends_a_burst_at_a_stop_token) {
  TestEngine unstopped(model_file().span());
  const std::vector<uint32_t> tokens = sampled(&unstopped, kWarm, 9, 30);
  // The first token from the fifth on that did not come before.
  size_t at = 5;
  while (std::count(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(at), tokens[at]))
    ++at;
  const AlignedBytes file = make_model({tokens[at]});
  for (const uint32_t burst : {1u, 4u, 32u}) {
    TestEngine engine(file.span(), {.max_burst = burst, .logits = NBL_LOGITS_LAST});
    const std::vector<uint32_t> stopped = sampled(&engine, kWarm, 9, 30);
    EXPECT_EQ(stopped, std::vector<uint32_t>(tokens.begin(),
                                             tokens.begin() + static_cast<std::ptrdiff_t>(at) + 1));
    EXPECT_TRUE(nbl_is_stop_token(engine.get(), tokens[at]));
    EXPECT_EQ(engine.position(), 9 + at + 1);
    // The logits are those of the burst's last step, so there are none where it ended before.
    std::vector<float> logits(kVocab);
    uint32_t rows = 0;
    const bool cut_short = (at + 1) % burst != 0 && at + 1 != 30;
    EXPECT_STREQ(
        nbl_status_name(nbl_logits(engine.get(), logits.data(), logits.size(), &rows, nullptr)),
        cut_short ? "nothing_evaluated" : "ok");
    // What the burst ran beyond the stop token is no part of the text.
    EXPECT_EQ(engine.generate(4),
              std::vector<uint32_t>(tokens.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                                    tokens.begin() + static_cast<std::ptrdiff_t>(at) + 5));
  }
}

TEST_F(Sequence, fills_the_context_to_the_last_position) {
  TestEngine engine(model_file().span(), {.logits = NBL_LOGITS_LAST});
  nbl_error error = {};
  engine.evaluate(prompt_of(kContext - 3));
  const std::vector<uint32_t> last = engine.generate(50);
  EXPECT_EQ(last.size(), 3u);
  EXPECT_EQ(engine.position(), kContext);
  EXPECT_EQ(engine.logits().size(), 1u);
  uint32_t token = 0, count = 77;
  EXPECT_EQ(nbl_next_token(engine.get(), &token, &error), 0u);
  EXPECT_STREQ(nbl_status_name(nbl_generate(engine.get(), 1, &token, &count, &error)),
               "context_full");
  EXPECT_EQ(error.value, kContext + 1);
  EXPECT_EQ(error.limit, kContext);
  EXPECT_EQ(count, 77u);
  EXPECT_STREQ(nbl_status_name(nbl_evaluate(engine.get(), &token, 1, &error)), "context_full");
  EXPECT_EQ(engine.position(), kContext);

  engine.rewind(kContext - 1);
  engine.evaluate({&last[2], 1});
  EXPECT_EQ(engine.position(), kContext);
  EXPECT_EQ(engine.next_token(), token);
  engine.rewind(0);
  engine.evaluate(prompt_of(kContext));
  EXPECT_EQ(engine.position(), kContext);
}

TEST_F(Sequence, takes_a_context_smaller_than_the_models) {
  TestEngine large(model_file().span());
  TestEngine small(model_file().span(), {.context = 33});
  EXPECT_LT(small.info().memory.kv_bytes, large.info().memory.kv_bytes);
  EXPECT_EQ(sampled(&small, kWarm, 9, 99), sampled(&large, kWarm, 9, 33 - 9));
  EXPECT_EQ(small.position(), 33u);
}

// Every refused call, then proof that nothing changed.
TEST_F(Sequence, survives_every_refused_call) {
  TestEngine engine(model_file().span(), {.logits = NBL_LOGITS_LAST});
  nbl_engine* e = engine.get();
  nbl_error error = {};
  std::vector<uint32_t> tokens = prompt_of(kContext + 1);
  std::vector<float> logits(kVocab);
  uint32_t token = 5, count = 5, rows = 5;
  const auto expect = [&](const char* name, nbl_status status) {
    EXPECT_STREQ(nbl_status_name(status), name);
    EXPECT_EQ(error.status, status);
    EXPECT_GT(sentence(error).size(), 10u);
  };
  expect("nothing_evaluated", nbl_generate(e, 1, &token, &count, &error));
  expect("nothing_evaluated", nbl_next_token(e, &token, &error));
  expect("nothing_evaluated", nbl_logits(e, logits.data(), logits.size(), &rows, &error));
  expect("context_full", nbl_evaluate(e, tokens.data(), kContext + 1, &error));
  EXPECT_EQ(engine.position(), 0u);

  const std::vector<uint32_t> expected = sampled(&engine, kWarm, 9, 20);
  engine.rewind(0);
  engine.evaluate(prompt_of(9));
  const auto row = engine.logits();
  expect("no_tokens", nbl_evaluate(e, tokens.data(), 0, &error));
  expect("no_tokens", nbl_generate(e, 0, &token, &count, &error));
  expect("missing_argument", nbl_evaluate(e, nullptr, 3, &error));
  expect("missing_argument", nbl_generate(e, 3, nullptr, &count, &error));
  expect("missing_argument", nbl_generate(e, 3, &token, nullptr, &error));
  expect("missing_argument", nbl_logits(e, nullptr, 3, &rows, &error));
  expect("missing_argument", nbl_set_sampling(e, nullptr, &error));
  expect("missing_argument", nbl_evaluate(nullptr, tokens.data(), 1, &error));
  expect("output_too_small", nbl_logits(e, logits.data(), kVocab - 1, &rows, &error));
  EXPECT_EQ(error.value, kVocab);
  EXPECT_EQ(error.limit, kVocab - 1);
  expect("bad_argument", nbl_rewind(e, 10, &error));
  nbl_timing timing = {};
  expect("no_timestamps", nbl_timings(e, 0, &timing, 1, &count, &error));
  for (const uint32_t bad : {kVocab, 0xffffffffu}) {
    tokens[4] = bad;
    expect("token_out_of_range", nbl_evaluate(e, tokens.data(), 8, &error));
    EXPECT_EQ(error.value, bad);
    EXPECT_EQ(error.limit, kVocab);
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const nbl_sampling& bad : {nbl_sampling(SamplingOptions{.temperature = -1}),
                                  nbl_sampling(SamplingOptions{.temperature = nan}),
                                  nbl_sampling(SamplingOptions{.temperature = 1, .top_p = 1.5f}),
                                  nbl_sampling(SamplingOptions{.top_p = nan})}) {
    expect("bad_sampling", nbl_set_sampling(e, &bad, &error));
  }
  EXPECT_EQ(token, 5u);
  EXPECT_EQ(count, 5u);
  EXPECT_EQ(rows, 5u);
  EXPECT_EQ(engine.position(), 9u);
  EXPECT_EQ(engine.logits(), row);
  EXPECT_EQ(engine.generate(20), expected);
}

TEST_F(Sequence, gives_logits_as_asked_for) {
  const std::vector<uint32_t> prompt = prompt_of(20);
  TestEngine none(model_file().span());
  constexpr uint32_t kFlags = NBL_FLAG_FLOAT32;
  TestEngine last(model_file().span(), {.flags = kFlags, .logits = NBL_LOGITS_LAST});
  TestEngine all(model_file().span(), {.flags = kFlags, .logits = NBL_LOGITS_ALL});
  for (TestEngine* engine : {&none, &last, &all})
    engine->evaluate(prompt);
  std::vector<float> values(kVocab);
  uint32_t rows = 0;
  nbl_error error = {};
  EXPECT_STREQ(nbl_status_name(nbl_logits(none.get(), values.data(), values.size(), &rows, &error)),
               "no_logits");
  // 20 tokens are a chunk of 16 and one of 4.
  ASSERT_EQ(last.logits().size(), 1u);
  ASSERT_EQ(all.logits().size(), 4u);
  // The head of one row and that of several may be other kernels.
  const std::vector<float> fourth = all.logits()[3];
  EXPECT_LT(relative_error(last.logits()[0], std::vector<double>(fourth.begin(), fourth.end())),
            1e-5);
  EXPECT_EQ(none.next_token(), last.next_token());
  EXPECT_EQ(none.next_token(), all.next_token());
  EXPECT_EQ(last.generate(3), all.generate(3));
  EXPECT_EQ(last.logits(), all.logits());
}

}  // namespace
}  // namespace nbl::test
