// Could break: what an attention is asked for beside its heads (cache type, window, cap, mask,
// full) on its way from the graph to the device, with caches that fill up over steps of every size.
// The reference is the float64 interpreter on the same file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/interpreter.h"
#include "tests/support/random.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kVocab = 97;
constexpr uint32_t kFlags[] = {0, NBL_FLAG_GPU_KERNELS, NBL_FLAG_FLOOR_KERNELS};

// An int8 entry next to the middle of two steps may go either way; a step is 1/127 of its row.
double tolerance_of(DType cache) {
  return cache == DType::i8 ? 2e-2 : cache == DType::f16 ? 1e-3 : 1e-4;
}

struct Heads {
  uint32_t heads = 6, kv_heads = 2, head_dim = 20;
};

compiler::Checkpoint checkpoint_of(const Heads& h, uint32_t context) {
  compiler::Checkpoint checkpoint = small_llama({.dim = 64,
                                                 .heads = h.heads,
                                                 .kv_heads = h.kv_heads,
                                                 .head_dim = h.head_dim,
                                                 .ffn = 96,
                                                 .vocab = kVocab,
                                                 .context = context,
                                                 .seed = seed()});
  return checkpoint;
}

std::vector<uint32_t> tokens_of(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 31 + 7) % kVocab);
  return tokens;
}

using Rows = std::vector<std::vector<float>>;

void append(const Rows& from, Rows* to) {
  to->insert(to->end(), from.begin(), from.end());
}

// The rows of every token, in steps of these sizes.
Rows replay(TestEngine* engine, std::span<const uint32_t> tokens,
            const std::vector<uint32_t>& steps) {
  Rows rows;
  for (const uint32_t step : steps) {
    append(engine->logits_of(tokens.first(step), step), &rows);
    tokens = tokens.subspan(step);
  }
  return rows;
}

void expect_close(const Rows& rows, const std::vector<std::vector<double>>& expected,
                  double tolerance) {
  ASSERT_EQ(rows.size(), expected.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_LE(relative_error(rows[i], expected[i]), tolerance) << "position " << i;
  }
}

struct Replay {
  const char* name;
  Heads heads;
  uint32_t context;
  std::vector<uint32_t> steps;
  DType cache = DType::f16;
};

void PrintTo(const Replay& r, std::ostream* out) {
  *out << r.name;
}

class AttentionReplay : public testing::TestWithParam<Replay> {};

TEST_P(AttentionReplay, accumulates_its_cache) {
  NBL_REQUIRE_VULKAN();
  const Replay& r = GetParam();
  const uint32_t chunk = *std::ranges::max_element(r.steps);
  uint32_t count = 0;
  for (const uint32_t step : r.steps)
    count += step;
  for (const bool fuse : {true, false}) {
    const AlignedBytes file = build_model(
        checkpoint_of(r.heads, r.context),
        {.passes = {.fuse = fuse}, .context = r.context, .prefill_chunk = chunk, .cache = r.cache});
    const std::vector<uint32_t> tokens = tokens_of(count);
    const auto expected = Interpreter(file.span()).evaluate(tokens);
    for (const uint32_t flags : kFlags) {
      if (!fuse && flags != 0) continue;
      // Matrix units round queries to f16: beyond what the caches' rounding leaves room for.
      TestEngine engine(file.span(), {.flags = flags | NBL_FLAG_FLOAT32, .logits = NBL_LOGITS_ALL});
      expect_close(replay(&engine, tokens, r.steps), expected, tolerance_of(r.cache));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sequences, AttentionReplay,
    testing::Values(Replay{"small", {8, 4, 4}, 16, {3, 1, 1, 5, 1, 1, 2}},
                    Replay{"small_f32", {8, 4, 4}, 16, {3, 1, 1, 5, 1, 1, 2}, DType::f32},
                    Replay{"small_i8", {8, 4, 4}, 16, {3, 1, 1, 5, 1, 1, 2}, DType::i8},
                    Replay{"small_dynamic", {6, 2, 8}, 16, {3, 1, 1, 5, 1, 1}},
                    Replay{"small_dynamic_f32", {6, 2, 8}, 140, {3, 1, 1, 5, 1, 1}, DType::f32},
                    Replay{"llama3", {24, 8, 128}, 256, {111, 1, 1, 1, 57, 1, 1}},
                    Replay{"gqa4_i8", {8, 2, 64}, 141, {5, 1, 1, 1, 1, 3, 1}, DType::i8},
                    Replay{"qwen3_f16", {16, 8, 128}, 64, {17, 1}}),
    [](const auto& test) { return std::string(test.param.name); });

struct Mode {
  const char* name;
  DType cache = DType::f16;
  uint32_t window = 0;
  float softcap = 0;
  bool full = false;
  bool mask = false;
};

void PrintTo(const Mode& mode, std::ostream* out) {
  *out << mode.name;
}

int32_t add_mask(compiler::Graph* graph) {
  const uint32_t context = graph->context_length;
  auto constant = std::make_shared<compiler::Constant>();
  constant->values.resize(size_t{context} * context);
  for (uint32_t p = 0; p < context; ++p) {
    for (uint32_t c = 0; c < context; ++c) {
      const bool hidden = c != p && (7 * c + p) % 5 == 0;
      constant->values[size_t{p} * context + c] =
          hidden ? -INFINITY : 0.25f * static_cast<float>((3 * c + p) % 11) - 1;
    }
  }
  return graph->add({.name = "mask",
                     .role = Role::weight,
                     .dtype = DType::f32,
                     .shape = {context, context},
                     .constant = std::move(constant)});
}

AlignedBytes model_of(const Mode& mode, uint32_t context, bool fuse, const Heads& heads = {}) {
  const auto edit = [&](compiler::Graph* graph) {
    const int32_t mask = mode.mask ? add_mask(graph) : compiler::kAbsent;
    for (compiler::GraphOp& op : graph->ops) {
      if (op.kind != OpKind::sdpa_with_kv_cache) continue;
      op.window = mode.window;
      op.softcap = mode.softcap;
      op.full = mode.full;
      // Scores that a cap and a mask can do something about.
      op.scale *= 3;
      if (mode.mask) op.inputs.push_back(mask);
    }
    compiler::tidy(graph);
    EXPECT_EQ(compiler::verify(*graph), "");
  };
  return build_model(checkpoint_of(heads, context), {.passes = {.fuse = fuse},
                                                     .context = context,
                                                     .prefill_chunk = 16,
                                                     .cache = mode.cache,
                                                     .edit = edit});
}

class AttentionModes : public testing::TestWithParam<Mode> {};

TEST_P(AttentionModes, have_the_logits_of_their_file) {
  NBL_REQUIRE_VULKAN();
  const Mode& mode = GetParam();
  constexpr uint32_t kContext = 83;
  const std::vector<uint32_t> steps = {16, 16, 3, 1, 1, 16, 7, 1, 1, 1, 16, 1, 1};
  const std::vector<uint32_t> tokens = tokens_of(81);
  for (const bool fuse : {true, false}) {
    const AlignedBytes file = model_of(mode, kContext, fuse);
    Interpreter reference(file.span());
    std::vector<std::vector<double>> expected;
    std::span<const uint32_t> rest = tokens;
    for (const uint32_t step : steps) {
      for (auto& row : reference.evaluate_together(rest.first(step)))
        expected.push_back(std::move(row));
      rest = rest.subspan(step);
    }
    for (const uint32_t flags : kFlags) {
      if (!fuse && flags != 0) continue;
      // With room for all, or with a context that is cut to what is needed.
      const uint32_t context = flags == NBL_FLAG_FLOOR_KERNELS ? 0 : 81;
      TestEngine engine(
          file.span(),
          {.flags = flags | NBL_FLAG_FLOAT32, .context = context, .logits = NBL_LOGITS_ALL});
      expect_close(replay(&engine, tokens, steps), expected, tolerance_of(mode.cache));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, AttentionModes,
    testing::Values(Mode{"f32", DType::f32}, Mode{"i8", DType::i8}, Mode{"window_1", DType::f16, 1},
                    Mode{"window_9", DType::f32, 9}, Mode{"window_17_i8", DType::i8, 17},
                    Mode{"window_all", DType::f16, 0xffffffffu}, Mode{"cap", DType::f32, 0, 0.5f},
                    Mode{"full", DType::f32, 0, 0, true},
                    Mode{"mask", DType::f32, 0, 0, false, true},
                    Mode{"everything", DType::f16, 33, 2, true, true}),
    [](const auto& test) { return std::string(test.param.name); });

// What each mode is for must show in the logits, or the tests above would pass without it.
TEST(AttentionControls, every_mode_changes_the_logits) {
  const std::vector<uint32_t> tokens = tokens_of(40);
  const auto last_row = [&](const Mode& mode) {
    return Interpreter(model_of(mode, 64, true).span()).evaluate_together(tokens)[20];
  };
  const std::vector<double> plain = last_row({"plain", DType::f32});
  const std::vector<float> base(plain.begin(), plain.end());
  for (const Mode& mode :
       {Mode{"i8", DType::i8}, Mode{"window", DType::f32, 9}, Mode{"cap", DType::f32, 0, 0.5f},
        Mode{"full", DType::f32, 0, 0, true}, Mode{"mask", DType::f32, 0, 0, false, true}}) {
    EXPECT_GT(relative_error(base, last_row(mode)), 2e-3) << mode.name;
  }
}

// One recording of one token serves six positions; a position that stays 0 must not give the same.
TEST(AttentionControls, decode_diverges_where_the_position_is_pinned) {
  NBL_REQUIRE_VULKAN();
  for (const DType cache : {DType::f16, DType::f32, DType::i8}) {
    const AlignedBytes file = model_of({"", cache}, 16, true);
    const std::vector<uint32_t> tokens = tokens_of(6);
    const auto expected = Interpreter(file.span()).evaluate(tokens);
    TestEngine live(file.span(), {.prefill_chunk = 1, .logits = NBL_LOGITS_ALL});
    TestEngine pinned(file.span(), {.prefill_chunk = 1, .logits = NBL_LOGITS_ALL});
    for (uint32_t i = 0; i < 6; ++i) {
      const auto token = std::span(tokens).subspan(i, 1);
      EXPECT_LT(relative_error(live.logits_of(token, 1)[0], expected[i]), tolerance_of(cache));
      pinned.rewind(0);
      const double error = relative_error(pinned.logits_of(token, 1)[0], expected[i]);
      if (i > 0) {
        EXPECT_GT(error, 2e-2) << "step " << i;
      }
    }
  }
}

// The cache is the engine's own: six steps on one engine see it, an engine for each step does not.
TEST(AttentionControls, decode_diverges_where_the_cache_is_fresh_at_each_step) {
  NBL_REQUIRE_VULKAN();
  for (const DType cache : {DType::f16, DType::i8}) {
    const AlignedBytes file = model_of({"", cache}, 16, true);
    const std::vector<uint32_t> tokens = tokens_of(6);
    const auto expected = Interpreter(file.span()).evaluate(tokens);
    TestEngine one(file.span(), {.logits = NBL_LOGITS_ALL});
    TestEngine fresh(file.span(), {.logits = NBL_LOGITS_ALL});
    for (uint32_t i = 0; i < 6; ++i) {
      const auto token = std::span(tokens).subspan(i, 1);
      EXPECT_LT(relative_error(one.logits_of(token, 1)[0], expected[i]), tolerance_of(cache));
      fresh.open();
      const double error = relative_error(fresh.logits_of(token, 1)[0], expected[i]);
      if (i > 0) {
        EXPECT_GT(error, 2e-2) << "step " << i;
      }
    }
  }
}

TEST(AttentionCapacity, a_step_past_it_is_refused_with_both_numbers) {
  NBL_REQUIRE_VULKAN();
  const AlignedBytes file = model_of({"", DType::i8}, 40, true);
  TestEngine engine(file.span(), {.context = 33, .logits = NBL_LOGITS_ALL});
  const std::vector<uint32_t> tokens = tokens_of(40);
  const Rows before = engine.logits_of(std::span(tokens).first(30), 16);
  nbl_error error = {};
  const nbl_status status = nbl_evaluate(engine.get(), tokens.data() + 30, 4, &error);
  EXPECT_STREQ(nbl_status_name(status), "context_full");
  EXPECT_EQ(error.value, 34u);
  EXPECT_EQ(error.limit, 33u);
  EXPECT_NE(sentence(error).find("34"), std::string::npos) << sentence(error);
  EXPECT_NE(sentence(error).find("33"), std::string::npos) << sentence(error);
  // Nothing was submitted: the last three positions are as good as before.
  EXPECT_EQ(engine.position(), 30u);
  const auto expected = Interpreter(file.span()).evaluate(std::span(tokens).first(33));
  expect_close(engine.logits_of(std::span(tokens).subspan(30, 3), 3),
               {expected.begin() + 30, expected.end()}, tolerance_of(DType::i8));
  EXPECT_STREQ(nbl_status_name(nbl_evaluate(engine.get(), tokens.data(), 1, &error)),
               "context_full");
}

TEST(AttentionMemory, is_what_the_cache_type_takes) {
  NBL_REQUIRE_VULKAN();
  constexpr uint32_t kContext = 1000;
  const uint64_t rows = 2ull * 2 * 2 * kContext;  // layers, caches, kv heads
  const auto kv_bytes = [&](DType cache) {
    const AlignedBytes file = model_of({"", cache}, kContext, true, {4, 2, 64});
    return TestEngine(file.span()).needed().kv_bytes;
  };
  const uint64_t slack = 8192;  // the step buffer and alignment
  EXPECT_NEAR(static_cast<double>(kv_bytes(DType::f16)), static_cast<double>(rows * 128), slack);
  EXPECT_NEAR(static_cast<double>(kv_bytes(DType::f32)), static_cast<double>(rows * 256), slack);
  EXPECT_NEAR(static_cast<double>(kv_bytes(DType::i8)), static_cast<double>(rows * 68), slack);
}

}  // namespace
}  // namespace nbl::test
