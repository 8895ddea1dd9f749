// Could break: a decode step in one dispatch computes something else than its kernels one by one,
// takes another amount of memory than it said, or hangs where work-groups do not run side by side.
#include <gtest/gtest.h>

#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/small_llama.h"
#include "tests/support/strange_vulkan.h"

namespace nbl::test {
namespace {

constexpr uint32_t kContext = 300;  // more than two blocks of positions

struct Case {
  const char* name;
  LlamaSpec spec;
  BuildOptions build = {};
  uint32_t most_dispatches = 4;  // embedding, chain, argmax, sample
};

LlamaSpec with_heads(uint32_t heads, uint32_t kv_heads, uint32_t head_dim) {
  return {.dim = 96,
          .layers = 2,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .ffn = 200,
          .vocab = 371,
          .context = kContext};
}

void set_attention(compiler::Graph* graph, uint32_t window, float softcap) {
  for (auto& op : graph->ops) {
    if (op.kind != OpKind::sdpa_with_kv_cache) continue;
    op.window = window;
    op.softcap = softcap;
  }
}

void set_gelu(compiler::Graph* graph) {
  for (auto& op : graph->ops) {
    if (op.swiglu) op.function = Function::gelu_tanh;
  }
}

std::vector<Case> cases() {
  LlamaSpec partial = with_heads(2, 2, 64);
  partial.rotary_dim = 32;
  LlamaSpec long_rows = with_heads(2, 1, 64);
  long_rows.ffn = 1100;
  return {
      {"one_query_a_head", with_heads(2, 2, 64)},
      {"three_queries_of_32", with_heads(6, 2, 32), {.group_size = 8}},
      {"one_kv_head_of_128", with_heads(4, 1, 128)},
      {"rotated_in_part_seen_through_a_window_and_capped",
       partial,
       {.edit = [](compiler::Graph* g) { set_attention(g, 40, 5); }}},
      {"gates_of_gelu", with_heads(2, 1, 64), {.edit = set_gelu}},
      {"rows_of_many_rounds", long_rows, {.group_size = 128}},
      // Its linears only: attention over other caches and heads stays a dispatch of its own.
      {"int8_caches", with_heads(2, 1, 48), {.cache = DType::i8}, 9},
  };
}

class Chain : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

std::vector<uint32_t> prompt(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 71 + 5) % 371);
  return tokens;
}

EngineOptions options_with(uint32_t flags) {
  return {.flags = flags | NBL_FLAG_FLOAT32, .logits = NBL_LOGITS_ALL};
}

TEST_F(Chain, gives_the_logits_of_separate_dispatches_at_every_position) {
  for (Case& c : cases()) {
    SCOPED_TRACE(c.name);
    c.build.context = kContext;
    const AlignedBytes file = build_model(small_llama(c.spec), c.build);
    TestEngine chained(file.span(), options_with(NBL_FLAG_CHAIN));
    TestEngine separate(file.span(), options_with(NBL_FLAG_NO_CHAIN));
    EXPECT_LE(chained.info().decode_dispatches, c.most_dispatches);
    EXPECT_LT(chained.info().decode_barriers, separate.info().decode_barriers);
    const std::vector<uint32_t> tokens = prompt(270);
    const auto got = chained.logits_of(tokens, 1);
    const auto want = separate.logits_of(tokens, 1);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const std::vector<double> reference(want[i].begin(), want[i].end());
      // An entry of an f16 cache may round to the other neighbour.
      ASSERT_LT(relative_error(got[i], reference), c.build.cache == DType::i8 ? 2e-2 : 1e-3)
          << "position " << i;
    }
  }
}

TEST_F(Chain, generates_in_bursts_and_after_a_rewind) {
  const AlignedBytes file = build_model(small_llama(with_heads(6, 2, 64)), {.context = kContext});
  TestEngine chained(file.span(), options_with(NBL_FLAG_CHAIN));
  TestEngine separate(file.span(), options_with(NBL_FLAG_NO_CHAIN));
  for (const uint32_t rewind : {20u, 7u, 1u}) {
    for (TestEngine* engine : {&chained, &separate})
      engine->evaluate(prompt(21));
    EXPECT_EQ(chained.generate(60), separate.generate(60));
    chained.rewind(rewind);
    separate.rewind(rewind);
  }
}

TEST_F(Chain, takes_the_memory_that_it_says) {
  const AlignedBytes file = build_model(small_llama(with_heads(2, 1, 64)), {.context = kContext});
  EngineOptions options = options_with(NBL_FLAG_CHAIN);
  options.vulkan = StrangeVulkan::over(vulkan_entry(), {});
  TestEngine engine(file.span(), options);
  const nbl_memory memory = engine.info().memory;
  EXPECT_EQ(engine.needed().device_bytes, memory.device_bytes);
  EXPECT_EQ(StrangeVulkan::allocated_bytes(), memory.device_bytes + memory.imported_bytes);
}

TEST_F(Chain, is_never_made_without_the_device_s_word_or_against_the_caller_s) {
  const AlignedBytes file = build_model(small_llama(with_heads(2, 1, 64)), {.context = kContext});
  for (const uint32_t flags : {uint32_t{NBL_FLAG_NO_CHAIN}, uint32_t{NBL_FLAG_FLOOR_KERNELS}}) {
    TestEngine separate(file.span(), options_with(flags));
    TestEngine engine(file.span(), options_with(flags | NBL_FLAG_CHAIN));
    EXPECT_EQ(engine.info().decode_dispatches, separate.info().decode_dispatches);
  }
}

// More work-groups than lavapipe has threads wait for ever for those that come after them: each has
// rows of the output projection, of which all of gate and up needs every one.
TEST_F(Chain, gives_up_where_work_groups_do_not_run_side_by_side) {
  LlamaSpec spec = with_heads(2, 1, 64);
  spec.dim = 1600;
  spec.layers = 1;
  spec.ffn = 64;
  const AlignedBytes file = build_model(small_llama(spec), {.context = kContext});
  EngineOptions options = options_with(NBL_FLAG_CHAIN);
  options.vulkan = StrangeVulkan::over(vulkan_entry(), {.cpu_cores = 200});
  TestEngine engine(file.span(), options);
  if (std::string(engine.info().device_name).find("llvmpipe") == std::string::npos) {
    GTEST_SKIP() << "the device is no CPU and may run them all";
  }
  nbl_error error = {};
  const uint32_t token = 1;
  const uint32_t status = nbl_evaluate(engine.get(), &token, 1, &error);
  EXPECT_NE(status, 0u);
  EXPECT_EQ(sentence(error),
            "the device did not run 200 work-groups side by side: open the engine with "
            "NBL_FLAG_NO_CHAIN");
  EXPECT_NE(nbl_evaluate(engine.get(), &token, 1, &error), 0u);
  engine.close();
  engine.open();
}

}  // namespace
}  // namespace nbl::test
