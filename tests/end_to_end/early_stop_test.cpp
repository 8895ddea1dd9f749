// Could break: a kernel that writes in a step without tokens, a burst that goes on behind a stop
// token or ends before it, a step buffer that is wrong for what comes after.
#include <gtest/gtest.h>

#include <cstring>

#include "spirv/step_state.h"
#include "tests/support/graph_builder.h"
#include "tests/support/open_engine.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kContext = 100;
constexpr uint32_t kVocab = 311;
constexpr uint32_t kBurst = 8;

AlignedBytes llama(const BuildOptions& options, const std::vector<uint32_t>& stop_tokens = {}) {
  compiler::Checkpoint checkpoint = small_llama(
      {.dim = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 96, .vocab = kVocab});
  checkpoint.hyper.context = kContext;
  checkpoint.hyper.stop_tokens = stop_tokens;
  BuildOptions all = options;
  all.context = kContext;
  all.prefill_chunk = 16;
  return build_model(checkpoint, all);
}

// The ops that no llama has.
AlignedBytes moved_and_normed() {
  GraphBuilder net(3, {.vocab = kVocab});
  const int32_t x = net.rms_norm(net.embedding(66), 2);
  const int32_t moved = net.cat({net.slice(x, 3, 40), net.permute(x, 3)});
  const int32_t y = net.function(Function::mul, net.softmax(moved, 1.5f), net.vector(106));
  net.sample(net.function(Function::tanh, net.linear(y, kVocab, true)));
  return emit_graph(net.graph);
}

class EmptyStep : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static void expect_no_write(const AlignedBytes& model, const char* what, uint32_t logits) {
    OpenEngine engine(model, {.flags = GetParam(), .max_burst = kBurst, .logits = logits});
    if (!engine.sees_memory()) GTEST_SKIP() << "memory that the host cannot look at";
    // No float that is computed, no word that is zero.
    engine.fill(std::byte{0x5a});
    const Recording& recording = engine->recording;
    for (const VkCommandBuffer phase : {recording.decode.run, recording.prefill.run}) {
      for (const uint32_t tokens : {0u, 1u}) {
        write_step(&engine, tokens);
        engine.submit({&recording.begin, 1});
        const std::vector<std::byte> before = engine.memory(true);
        engine.submit({&phase, 1});
        EXPECT_EQ(engine.memory(true) == before, tokens == 0)
            << what << (phase == recording.decode.run ? ", decode" : ", prefill") << " of "
            << tokens << " tokens";
      }
    }
  }

  static void write_step(OpenEngine* engine, uint32_t tokens) {
    const Region& place = (*engine)->plan.io_step;
    const DeviceBlock& io = (*engine)->recording.blocks[place.block];
    uint32_t words[STEP_TOKENS + 1] = {};
    words[STEP_INPUT_POS] = 5;
    words[STEP_TOKEN_COUNT] = tokens;
    words[STEP_TEMPERATURE] = 0x3f800000;
    words[STEP_TOKENS] = 7;
    std::memcpy(io.mapped + place.offset, words, sizeof words);
    Error error;
    engine->check(flush_block((*engine)->device, io, &error));
  }
};

TEST_P(EmptyStep, writes_nothing) {
  expect_no_write(llama({}), "llama", NBL_LOGITS_NONE);
  expect_no_write(llama({}), "llama with all logits", NBL_LOGITS_ALL);
  for (const DType cache : {DType::f32, DType::i8})
    expect_no_write(llama({.cache = cache}), "llama with another cache", NBL_LOGITS_NONE);
  BuildOptions options;
  options.passes.fuse = false;
  expect_no_write(llama(options), "llama op by op", NBL_LOGITS_LAST);
  options.passes.activations = compiler::Activations::int8;
  expect_no_write(llama(options), "int8 activations op by op", NBL_LOGITS_NONE);
  options.passes.fuse = true;
  expect_no_write(llama(options), "int8 activations", NBL_LOGITS_NONE);
  expect_no_write(moved_and_normed(), "other ops", NBL_LOGITS_NONE);
}

INSTANTIATE_TEST_SUITE_P(Kernels, EmptyStep,
                         testing::Values(0u, uint32_t{NBL_FLAG_FLOOR_KERNELS},
                                         uint32_t{NBL_FLAG_GPU_KERNELS},
                                         uint32_t{NBL_FLAG_GPU_KERNELS | NBL_FLAG_FLOAT32},
                                         uint32_t{NBL_FLAG_TEXTURE_WEIGHTS},
                                         uint32_t{NBL_FLAG_CHAIN}));

class EarlyStop : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static void start(OpenEngine* engine) {
    (*engine)->sequence.sampling = {.temperature = 0.9f, .top_k = 40, .top_p = 0.95f, .seed = 11};
    const uint32_t prompt[] = {5, 76, 147, 218, 289, 49, 120, 191, 262};
    engine->evaluate(prompt);
  }

  // What comes without stop tokens.
  static const std::vector<uint32_t>& endless() {
    static const std::vector<uint32_t> tokens = [] {
      const AlignedBytes file = llama({});
      OpenEngine engine(file);
      start(&engine);
      return engine.generate(40);
    }();
    return tokens;
  }

  // The first place from `from` on with a token that did not come before.
  static uint32_t fresh_from(uint32_t from) {
    const std::vector<uint32_t>& tokens = endless();
    auto at = tokens.begin() + from;
    while (std::find(tokens.begin(), at, *at) != at)
      ++at;
    return static_cast<uint32_t>(at - tokens.begin());
  }
};

TEST_F(EarlyStop, leaves_what_single_steps_leave) {
  for (const uint32_t from : {0u, 1u, 3u, kBurst - 1, kBurst, kBurst + 2}) {
    const uint32_t at = fresh_from(from);
    const uint32_t stop = endless()[at];
    const AlignedBytes file = llama({}, {2, kVocab - 1, stop});
    OpenEngine single(file, {.max_burst = kBurst, .logits = NBL_LOGITS_LAST});
    OpenEngine burst(file, {.max_burst = kBurst, .logits = NBL_LOGITS_LAST});
    if (!burst.sees_memory()) GTEST_SKIP() << "memory that the host cannot look at";
    start(&single);
    start(&burst);
    std::vector<uint32_t> expected;
    do {
      expected.push_back(single.generate(1)[0]);
    } while (!is_stop_token(single->model, expected.back()));
    ASSERT_EQ(expected, std::vector<uint32_t>(endless().begin(), endless().begin() + at + 1));
    EXPECT_EQ(burst.generate(30), expected);
    EXPECT_EQ(burst->sequence.position, single->sequence.position);
    EXPECT_EQ(burst->sequence.next, single->sequence.next);
    EXPECT_EQ(burst.memory(false), single.memory(false))
        << "the burst went on behind its step " << at;
    // What comes after: the next token alone, and a burst without any stop in it.
    const uint32_t next = single->sequence.next;
    EXPECT_EQ(next, endless()[at + 1]);
    single.evaluate({&next, 1});
    burst.evaluate({&next, 1});
    EXPECT_EQ(burst->sequence.next, single->sequence.next);
    EXPECT_EQ(burst.generate(3), single.generate(3));
    EXPECT_EQ(burst.memory(false), single.memory(false));
  }
}

// With more of them than the step buffer holds the host still ends the text.
TEST_F(EarlyStop, needs_no_place_for_every_stop_token) {
  const uint32_t at = fresh_from(3);
  const uint32_t stop = endless()[at];
  std::vector<uint32_t> stops;
  for (uint32_t token = 0; stops.size() < STEP_STOP_COUNT; ++token) {
    const auto end = endless().begin() + kBurst;
    if (std::find(endless().begin(), end, token) == end) stops.push_back(token);
  }
  for (const bool last_known : {true, false}) {
    std::vector<uint32_t> list = stops;
    if (last_known) list.pop_back();
    list.push_back(stop);
    const AlignedBytes file = llama({}, list);
    OpenEngine engine(file, {.max_burst = kBurst});
    start(&engine);
    const std::vector<uint32_t> expected(endless().begin(), endless().begin() + at + 1);
    EXPECT_EQ(engine.generate(30), expected) << list.size() << " stop tokens";
    EXPECT_EQ(engine->sequence.position, 9 + at + 1);
    EXPECT_EQ(engine->sequence.next, endless()[at + 1]);
    EXPECT_EQ(engine.generate(1), std::vector<uint32_t>{endless()[at + 1]});
  }
}

}  // namespace
}  // namespace nbl::test
