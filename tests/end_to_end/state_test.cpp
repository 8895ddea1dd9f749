// Could break: what a saved state holds of a sequence, its way into engines with other contexts and
// chunks, and what is refused: anything that was not written by the same model.
#include "rt/step/state.h"

#include <gtest/gtest.h>

#include <cstring>

#include "rt/base/crc32.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/sampling_options.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kVocab = 211;
constexpr uint32_t kContext = 90;
const nbl_sampling kWarm = SamplingOptions{.temperature = 0.9f,
                                           .top_k = 40,
                                           .top_p = 0.95f,
                                           .seed = 0x1234567890,
                                           .repeat_penalty = 1.3f,
                                           .frequency_penalty = 0.2f,
                                           .penalty_window = 30};

AlignedBytes make_model(DType cache, uint32_t window = 0, uint64_t seed = 1, bool fuse = true) {
  compiler::Checkpoint checkpoint = small_llama({.dim = 64,
                                                 .heads = 6,
                                                 .kv_heads = 2,
                                                 .head_dim = 20,
                                                 .ffn = 96,
                                                 .vocab = kVocab,
                                                 .context = kContext,
                                                 .seed = seed});
  const auto edit = [&](compiler::Graph* graph) {
    for (compiler::GraphOp& op : graph->ops) {
      if (op.kind == OpKind::sdpa_with_kv_cache) op.window = window;
    }
  };
  return build_model(checkpoint, {.passes = {.fuse = fuse},
                                  .context = kContext,
                                  .prefill_chunk = 16,
                                  .cache = cache,
                                  .edit = edit});
}

std::vector<uint32_t> prompt_of(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 71 + 5) % kVocab);
  return tokens;
}

class State : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

TEST_F(State, continues_as_if_nothing_had_happened) {
  for (const DType cache : {DType::f16, DType::f32, DType::i8}) {
    for (const uint32_t window : {0u, 9u}) {
      const AlignedBytes file = make_model(cache, window, 1, window == 0);
      for (const nbl_sampling& sampling : {nbl_sampling{}, kWarm}) {
        TestEngine first(file.span());
        first.set_sampling(sampling);
        first.evaluate(prompt_of(21));
        (void)first.generate(12);
        const std::vector<std::byte> state = first.save_state();
        const std::vector<uint32_t> expected = first.generate(30);
        ASSERT_EQ(expected.size(), 30u);
        // The same engine, one fresh from the start, smaller and of other chunks and bursts.
        first.load_state(state);
        EXPECT_EQ(first.generate(30), expected);
        for (const uint32_t context : {0u, 63u}) {
          for (const uint32_t chunk : {1u, 7u, 16u}) {
            TestEngine second(file.span(),
                              {.context = context, .prefill_chunk = chunk, .max_burst = chunk});
            second.load_state(state);
            EXPECT_EQ(second.position(), 33u);
            EXPECT_EQ(second.generate(30), expected) << "context " << context;
            // What is stored does not depend on the engine.
            second.load_state(state);
            EXPECT_EQ(second.save_state(), state);
          }
        }
      }
    }
  }
}

TEST_F(State, holds_the_positions_in_use_and_nothing_else) {
  const AlignedBytes file = make_model(DType::f16);
  TestEngine engine(file.span());
  const uint64_t row = 4 + 2 * 2 * 2 * 20 * 2;  // token; layers, caches, heads, elements, bytes
  EXPECT_EQ(nbl_state_bytes(engine.get()), 128u);
  engine.evaluate(prompt_of(33));
  EXPECT_EQ(nbl_state_bytes(engine.get()), 128 + 33 * row);
  engine.rewind(5);
  const std::vector<std::byte> state = engine.save_state();
  EXPECT_EQ(state.size(), 128 + 5 * row);
  // Nothing was sampled behind position 5.
  engine.load_state(state);
  uint32_t token = 0;
  EXPECT_STREQ(nbl_status_name(nbl_next_token(engine.get(), &token, nullptr)), "nothing_evaluated");
  EXPECT_EQ(nbl_state_bytes(nullptr), 0u);
}

TEST_F(State, of_nothing_starts_over) {
  const AlignedBytes file = make_model(DType::i8);
  TestEngine engine(file.span());
  const std::vector<std::byte> empty = engine.save_state();
  engine.evaluate(prompt_of(20));
  const std::vector<uint32_t> expected = engine.generate(5);
  engine.load_state(empty);
  EXPECT_EQ(engine.position(), 0u);
  engine.evaluate(prompt_of(20));
  EXPECT_EQ(engine.generate(5), expected);
}

TEST_F(State, leaves_logits_and_sampling_of_the_saving_engine_alone) {
  const AlignedBytes file = make_model(DType::f16);
  TestEngine engine(file.span(), {.logits = NBL_LOGITS_ALL});
  engine.set_sampling(kWarm);
  engine.evaluate(prompt_of(14));
  const auto logits = engine.logits();
  const uint32_t next = engine.next_token();
  (void)engine.save_state();
  EXPECT_EQ(engine.logits(), logits);
  EXPECT_EQ(engine.next_token(), next);
}

void expect_refused(TestEngine* engine, std::span<const std::byte> state, const char* name) {
  nbl_error error = {};
  const nbl_status status = nbl_load_state(engine->get(), state.data(), state.size(), &error);
  EXPECT_STREQ(nbl_status_name(status), name);
  EXPECT_GT(sentence(error).size(), 20u);
}

// A header changed by someone who knows how to write the checksum.
std::vector<std::byte> forged(std::vector<std::byte> state, void (*edit)(StateHeader*)) {
  StateHeader header{};
  std::memcpy(&header, state.data(), sizeof header);
  edit(&header);
  Crc32 crc;
  std::memcpy(state.data(), &header, sizeof header);
  crc.update(std::span(state).first(offsetof(StateHeader, crc32)));
  crc.update(std::span(state).subspan(sizeof header));
  header.crc32 = crc.value();
  std::memcpy(state.data(), &header, sizeof header);
  return state;
}

TEST_F(State, that_is_wrong_is_refused_and_the_engine_goes_on) {
  const AlignedBytes file = make_model(DType::f16);
  TestEngine saver(file.span());
  saver.evaluate(prompt_of(30));
  const std::vector<std::byte> state = saver.save_state();

  TestEngine engine(file.span());
  engine.set_sampling(kWarm);
  engine.evaluate(prompt_of(9));
  const std::vector<uint32_t> expected = engine.generate(20);
  engine.rewind(0);
  engine.evaluate(prompt_of(9));

  for (size_t bytes = 0; bytes < state.size(); bytes = bytes < 140 ? bytes + 1 : bytes + 977)
    expect_refused(&engine, std::span(state).first(bytes), "state_truncated");
  for (size_t at = 0; at < state.size(); at = at < 128 ? at + 1 : at + 331) {
    std::vector<std::byte> flipped = state;
    flipped[at] ^= std::byte{0x10};
    // Version and size are looked at before the checksum.
    const char* name = at < 16 ? "bad_state" : at == 16 || at < 24 ? nullptr : "state_damaged";
    nbl_error error = {};
    const nbl_status status = nbl_load_state(engine.get(), flipped.data(), flipped.size(), &error);
    EXPECT_NE(status, 0u) << "byte " << at;
    if (name != nullptr) {
      EXPECT_STREQ(nbl_status_name(status), name) << "byte " << at;
    }
  }
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->next = kVocab; }), "bad_state");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->has_next = 2; }), "bad_state");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->position = 29; }), "bad_state");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->position = ~0u; }), "bad_state");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->temperature = 0x7fc00000; }),
                 "bad_sampling");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->penalty_window = 1025; }),
                 "bad_argument");
  std::vector<std::byte> unknown = state;
  std::memset(&unknown[sizeof(StateHeader)], 0xff, sizeof(uint32_t));
  expect_refused(&engine, forged(unknown, [](StateHeader*) {}), "bad_state");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->cache = 77; }),
                 "state_of_other_cache");
  expect_refused(&engine, forged(state, [](StateHeader* h) { h->model[31] ^= 1; }),
                 "state_of_other_model");

  TestEngine other(make_model(DType::f16, 0, 2).span());
  expect_refused(&other, state, "state_of_other_model");
  TestEngine int8(make_model(DType::i8).span());
  expect_refused(&int8, state, "state_of_other_cache");
  TestEngine small(file.span(), {.context = 29});
  expect_refused(&small, state, "state_too_long");
  TestEngine exact(file.span(), {.context = 30});
  exact.load_state(state);
  EXPECT_EQ(exact.position(), 30u);

  size_t bytes = 7;
  std::vector<std::byte> room(state.size());
  EXPECT_STREQ(
      nbl_status_name(nbl_save_state(saver.get(), room.data(), state.size() - 1, &bytes, nullptr)),
      "output_too_small");
  EXPECT_EQ(bytes, 7u);
  EXPECT_STREQ(nbl_status_name(nbl_save_state(saver.get(), nullptr, 9, &bytes, nullptr)),
               "missing_argument");
  EXPECT_STREQ(nbl_status_name(nbl_load_state(nullptr, room.data(), 9, nullptr)),
               "missing_argument");

  EXPECT_EQ(engine.position(), 9u);
  EXPECT_EQ(engine.generate(20), expected);
}

// As from a partition of flash that is larger than the state.
TEST_F(State, may_have_other_bytes_behind_it) {
  const AlignedBytes file = make_model(DType::f32);
  TestEngine engine(file.span());
  engine.evaluate(prompt_of(30));
  std::vector<std::byte> state = engine.save_state();
  const std::vector<uint32_t> expected = engine.generate(9);
  state.resize(state.size() + 4097, std::byte{0xff});
  engine.load_state(state);
  EXPECT_EQ(engine.generate(9), expected);
}

}  // namespace
}  // namespace nbl::test
