// What could break: the shapes of real models and sequences of prefill and decode steps on one
// cache, each step's keys written by update_cache. Inputs are ramps, so that a failure can be
// reproduced.
#include <gtest/gtest.h>

#include "rt/kernels/sdpa.h"
#include "rt/kernels/update_cache.h"
#include "tests/support/attention.h"

namespace nbl::test {
namespace {

// ((i + 31 t) mod m - off) / divisor for element i of row t.
struct Ramp {
  uint32_t modulus;
  int offset;
  float divisor = 16;
};

float at(const Ramp& ramp, uint32_t i, uint32_t t) {
  return static_cast<float>(static_cast<int>((i + 31 * t) % ramp.modulus) - ramp.offset) /
         ramp.divisor;
}

std::vector<float> rows_of(const Ramp& ramp, uint32_t rows, uint32_t columns, uint32_t first = 0) {
  std::vector<float> values;
  for (uint32_t t = 0; t < rows; ++t) {
    for (uint32_t i = 0; i < columns; ++i)
      values.push_back(at(ramp, i, first + t));
  }
  return values;
}

struct Case {
  const char* name;
  uint32_t heads, kv_heads, head_dim, tokens, context, input_pos;
  float divisor = 16;
  uint32_t sampled = 0;  // queries compared; 0 = all
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

void write_ramp(const Ramp& ramp, uint32_t kv_heads, uint32_t first, uint32_t end,
                const Caches& caches, std::vector<uint32_t>* cache) {
  for (uint32_t p = first; p < end; ++p) {
    for (uint32_t i = 0; i < kv_heads * caches.head_dim; ++i) {
      const size_t to = caches.index(i / caches.head_dim, p, i % caches.head_dim);
      set_half(*cache, to, f32_to_f16(at(ramp, i, p - first)));
    }
  }
}

void expect_case(Gpu* gpu, const Caps& caps, const Case& c) {
  SCOPED_TRACE(c.name);
  const SdpaArgs args{c.tokens,   c.heads,   c.kv_heads,
                      c.head_dim, c.context, 1.0f / std::sqrt(static_cast<float>(c.head_dim))};
  Caches caches(c.kv_heads, c.context, c.head_dim);
  const uint32_t end = c.input_pos + c.tokens;
  write_ramp({7, 3, c.divisor}, c.kv_heads, 0, c.input_pos, caches, &caches.k);
  write_ramp({5, 2, c.divisor}, c.kv_heads, 0, c.input_pos, caches, &caches.v);
  write_ramp({13, 6, c.divisor}, c.kv_heads, c.input_pos, end, caches, &caches.k);
  write_ramp({11, 5, c.divisor}, c.kv_heads, c.input_pos, end, caches, &caches.v);
  const auto q = rows_of({17, 8, c.divisor}, c.tokens, c.heads * c.head_dim);
  auto queries = all_queries(c.tokens, c.heads);
  if (c.sampled != 0) {
    Random random(c.tokens);
    for (uint32_t i = 0; i < c.sampled; ++i) {
      queries[i] = {random.below(c.tokens), random.below(c.heads)};
    }
    queries[0] = {c.tokens - 1, c.heads - 1};
    queries.resize(c.sampled);
  }
  expect_attention(gpu, caps, args, caches, q, c.input_pos, c.tokens, queries,
                   c.divisor < 1 ? 1e-4 : kAttentionError);
}

class SdpaCases : public testing::TestWithParam<Case> {};

TEST_P(SdpaCases, match_float64) {
  NBL_REQUIRE_GPU(gpu);
  expect_case(gpu, gpu->caps(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Ramps, SdpaCases,
    testing::Values(Case{"gqa31_prefill", 6, 2, 8, 4, 16, 0}, Case{"mha_ctxodd", 4, 4, 16, 3, 8, 0},
                    Case{"gqa21_prefill", 8, 4, 4, 5, 16, 0},
                    Case{"gqa31_decode", 6, 2, 8, 2, 16, 2},
                    Case{"llama3_prefill", 24, 8, 128, 128, 256, 0, 16, 500},
                    Case{"mha_biglogit", 4, 4, 32, 4, 16, 0, 0.5f},
                    Case{"llama1b_decode_4k", 32, 8, 64, 1, 4096, 4095},
                    Case{"llama1b_decode_8k", 32, 8, 64, 1, 8192, 8191},
                    Case{"llama1b_prefill", 32, 8, 64, 128, 512, 0, 16, 500},
                    Case{"llama1b_decode", 32, 8, 64, 1, 512, 127},
                    Case{"llama1b_prefill_512", 32, 8, 64, 512, 512, 0, 16, 300},
                    Case{"llama1b_prefill_2048", 32, 8, 64, 2048, 2048, 0, 16, 100},
                    Case{"qwen3_prefill", 16, 8, 128, 128, 256, 0, 10, 300},
                    Case{"qwen3_odd_boundary", 16, 8, 128, 17, 64, 31, 10},
                    Case{"qwen3_decode_1024", 16, 8, 128, 1, 1024, 1023},
                    Case{"phi4_decode_512", 24, 8, 128, 1, 512, 511},
                    Case{"d64_accuracy", 8, 2, 64, 16, 32, 16},
                    Case{"d128_accuracy", 8, 2, 128, 16, 32, 16},
                    Case{"tile2_d4", 8, 2, 4, 1, 32, 31}),
    [](const auto& test) { return std::string(test.param.name); });

// Writes a step's keys or values with update_cache.
void append(Gpu* gpu, const UpdateCacheArgs& args, const std::vector<float>& rows,
            uint32_t input_pos, uint32_t live, std::vector<uint32_t>* cache) {
  const uint32_t columns = args.kv_heads * args.head_dim;
  auto padded = rows;
  padded.resize(size_t{args.tokens} * columns, NAN);
  const auto step = step_words(input_pos, live);
  KernelCall call;
  ASSERT_TRUE(call_update_cache(gpu->caps(), args, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call, {reads(step), reads(activation_words(padded, args.tokens, columns)),
                            writes(*cache)}),
            "");
}

struct Replay {
  const char* name;
  uint32_t heads, kv_heads, head_dim, context;
  std::vector<uint32_t> steps;
  float divisor = 16;
};

void PrintTo(const Replay& r, std::ostream* out) {
  *out << r.name;
}

class SdpaReplay : public testing::TestWithParam<Replay> {};

// Two recordings as an engine has them: one for a chunk of tokens, one for a single token.
TEST_P(SdpaReplay, accumulates_the_cache_over_steps) {
  NBL_REQUIRE_GPU(gpu);
  const Replay& r = GetParam();
  const uint32_t chunk = *std::max_element(r.steps.begin(), r.steps.end());
  const uint32_t kv_columns = r.kv_heads * r.head_dim;
  Caches caches(r.kv_heads, r.context, r.head_dim);
  uint32_t input_pos = 0;
  for (const uint32_t live : r.steps) {
    const uint32_t tokens = live == 1 ? 1 : chunk;
    const UpdateCacheArgs cache{tokens, r.kv_heads, r.head_dim, r.context};
    append(gpu, cache, rows_of({13, 6, r.divisor}, live, kv_columns, input_pos), input_pos, live,
           &caches.k);
    append(gpu, cache, rows_of({11, 5, r.divisor}, live, kv_columns, input_pos), input_pos, live,
           &caches.v);
    const SdpaArgs args{tokens,     r.heads,   r.kv_heads,
                        r.head_dim, r.context, 1.0f / std::sqrt(static_cast<float>(r.head_dim))};
    const auto q = rows_of({17, 8, r.divisor}, live, r.heads * r.head_dim, input_pos);
    expect_attention(gpu, gpu->caps(), args, caches, q, input_pos, live,
                     all_queries(live, r.heads));
    input_pos += live;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sequences, SdpaReplay,
    testing::Values(Replay{"small", 8, 4, 4, 16, {3, 1, 1, 5, 1, 1, 2}},
                    Replay{"small_dynamic", 6, 2, 8, 16, {3, 1, 1, 5, 1, 1}},
                    Replay{"small_dynamic_wide_cache", 6, 2, 8, 140, {3, 1, 1, 5, 1, 1}},
                    Replay{"llama3", 24, 8, 128, 256, {111, 1, 1, 1, 57, 1, 1}},
                    Replay{"gqa4", 8, 2, 64, 141, {5, 1, 1, 1, 1, 3, 1}},
                    Replay{"qwen3", 16, 8, 128, 64, {17, 1}, 10}),
    [](const auto& test) { return std::string(test.param.name); });

// The negative controls: a position or a cache that is not the step's own must show.
TEST(SdpaReplayControls, diverge_where_the_position_or_the_cache_is_wrong) {
  NBL_REQUIRE_GPU(gpu);
  const SdpaArgs args{1, 6, 2, 8, 16, 0.35355339f};
  Random random(11);
  Caches caches(2, 16, 8);
  write_ramp({13, 6}, 2, 0, 6, caches, &caches.k);
  write_ramp({11, 5}, 2, 0, 6, caches, &caches.v);
  const auto q = random.normals(48);
  const auto want = reference_attention(args, caches, q, 5, all_queries(1, 6));
  const auto right = run_attention(gpu, gpu->caps(), args, caches, q, 5, 1);
  const auto pinned = run_attention(gpu, gpu->caps(), args, caches, q, 0, 1);
  Caches fresh(2, 16, 8);
  write_ramp({7, 3}, 2, 0, 6, fresh, &fresh.k);
  write_ramp({5, 2}, 2, 0, 6, fresh, &fresh.v);
  const auto other = run_attention(gpu, gpu->caps(), args, fresh, q, 5, 1);
  EXPECT_LT(relative_error(want, right), kAttentionError);
  EXPECT_GT(relative_error(want, pinned), 1e-2);
  EXPECT_GT(relative_error(want, other), 1e-2);
}

}  // namespace
}  // namespace nbl::test
