// What could break: the shapes of real models and sequences of prefill and decode steps on one
// cache, each step's keys written by update_cache or rope_update_cache. Inputs are ramps, so that a
// failure can be reproduced; the reference is float64 on values that no cache has rounded.
#include <gtest/gtest.h>

#include "rt/kernels/rope_update_cache.h"
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

constexpr Ramp kQueries{17, 8}, kKeys{13, 6}, kValues{11, 5}, kOldKeys{7, 3}, kOldValues{5, 2};

std::vector<float> row_of(Ramp ramp, uint32_t row, uint32_t columns, float divisor) {
  std::vector<float> values;
  for (uint32_t i = 0; i < columns; ++i) {
    const int step = static_cast<int>((i + 31 * row) % ramp.modulus) - ramp.offset;
    values.push_back(static_cast<float>(step) / divisor);
  }
  return values;
}

std::vector<float> rows_of(Ramp ramp, uint32_t rows, uint32_t columns, float divisor,
                           uint32_t first = 0) {
  std::vector<float> values;
  for (uint32_t t = 0; t < rows; ++t) {
    const std::vector<float> row = row_of(ramp, first + t, columns, divisor);
    values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

struct Case {
  const char* name;
  uint32_t heads, kv_heads, head_dim, tokens, context, input_pos;
  float divisor = 16;
  uint32_t sampled = 0;  // queries compared; 0 = all
  bool large = false;    // with fewer cache types and devices
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

SdpaArgs args_of(const Case& c, DType cache) {
  SdpaArgs args{c.tokens,   c.heads,   c.kv_heads,
                c.head_dim, c.context, 1.0f / std::sqrt(static_cast<float>(c.head_dim))};
  args.cache = cache;
  return args;
}

// Rows first .. end-1 of both caches, from ramps that begin at `first`.
void write_ramps(Ramp keys, Ramp values, uint32_t first, uint32_t end, float divisor,
                 Caches* caches) {
  for (uint32_t p = first; p < end; ++p) {
    const uint32_t columns = caches->kv_heads * caches->head_dim;
    const std::vector<float> k = row_of(keys, p - first, columns, divisor);
    const std::vector<float> v = row_of(values, p - first, columns, divisor);
    for (uint32_t h = 0; h < caches->kv_heads; ++h) {
      const size_t at = size_t{h} * caches->head_dim;
      caches->set_row(&caches->k, h, p, std::span(k).subspan(at, caches->head_dim));
      caches->set_row(&caches->v, h, p, std::span(v).subspan(at, caches->head_dim));
    }
  }
}

// Every element is within one of the two.
struct Tolerance {
  double absolute, relative;
};

Tolerance tolerance_of(DType cache, float divisor) {
  // Ramps in sixteenths are halves exactly. int8 is off by half a step of a row's largest / 127.
  if (cache == DType::i8) return {1e-2, 4e-2};
  return cache == DType::f16 && divisor == 10 ? Tolerance{2e-3, 1e-2} : Tolerance{1e-4, 1e-3};
}

// Matrix units round more than the tables allow.
Caps exact_caps(const Gpu* gpu) {
  Caps caps = gpu->caps();
  caps.features &= ~kCooperativeMatrix;
  return caps;
}

void expect_near(const std::vector<double>& want, const std::vector<float>& got,
                 const Tolerance& tolerance) {
  ASSERT_EQ(got.size(), want.size());
  size_t wrong = 0;
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    const bool near =
        error <= tolerance.absolute || error <= tolerance.relative * std::abs(want[i]);
    wrong += !near;
    worst = std::max(worst, near ? 0 : error);
  }
  EXPECT_EQ(wrong, 0u) << "of " << got.size() << ", off by up to " << worst;
}

std::vector<Query> queries_of(const Case& c) {
  auto queries = all_queries(c.tokens, c.heads);
  if (c.sampled == 0) return queries;
  Random random(c.tokens);
  for (Query& query : queries)
    query = {random.below(c.tokens), random.below(c.heads)};
  queries[0] = {c.tokens - 1, c.heads - 1};
  queries.resize(c.sampled);
  return queries;
}

void expect_case(Gpu* gpu, const Case& c) {
  Caches exact(c.kv_heads, c.context, c.head_dim, DType::f32);
  const uint32_t end = c.input_pos + c.tokens;
  write_ramps(kOldKeys, kOldValues, 0, c.input_pos, c.divisor, &exact);
  write_ramps(kKeys, kValues, c.input_pos, end, c.divisor, &exact);
  const auto q = rows_of(kQueries, c.tokens, c.heads * c.head_dim, c.divisor);
  const auto queries = queries_of(c);
  const Step step{c.input_pos, c.tokens};
  const auto want = reference_attention(args_of(c, DType::f32), exact, q, step, queries);
  // Scores of mha_biglogit are near 177: a rounding of them to int8 decides who wins.
  const bool steep = c.divisor < 1;
  for (const DType cache : {DType::f16, DType::f32, DType::i8}) {
    if (cache == DType::i8 && (steep || c.large)) continue;
    Caches caches(c.kv_heads, c.context, c.head_dim, cache);
    write_ramps(kOldKeys, kOldValues, 0, c.input_pos, c.divisor, &caches);
    write_ramps(kKeys, kValues, c.input_pos, end, c.divisor, &caches);
    for (const bool floor : {false, true}) {
      if (c.large && floor != (cache == DType::f32)) continue;
      if (c.tokens > 1024 && floor) continue;
      SCOPED_TRACE(kDTypeNames[static_cast<size_t>(cache)]);
      const Caps caps = floor ? gpu->floor_of_caps() : exact_caps(gpu);
      const SdpaArgs args = args_of(c, cache);
      const auto rows = run_attention(gpu, caps, args, caches, q, step);
      ASSERT_FALSE(rows.empty());
      expect_near(want, pick_queries(rows, args, queries), tolerance_of(cache, c.divisor));
    }
  }
}

std::string name_of(const testing::TestParamInfo<Case>& test) {
  return test.param.name;
}

class SdpaCases : public testing::TestWithParam<Case> {};

TEST_P(SdpaCases, match_float64) {
  NBL_REQUIRE_GPU(gpu);
  expect_case(gpu, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Ramps, SdpaCases,
                         testing::Values(Case{"gqa31_prefill", 6, 2, 8, 4, 16, 0},
                                         Case{"mha_ctxodd", 4, 4, 16, 3, 8, 0},
                                         Case{"gqa21_prefill", 8, 4, 4, 5, 16, 0},
                                         Case{"gqa31_decode", 6, 2, 8, 2, 16, 2},
                                         Case{"llama3_prefill", 24, 8, 128, 128, 256, 0, 16, 200},
                                         Case{"mha_biglogit", 4, 4, 32, 4, 16, 0, 0.5f},
                                         Case{"llama1b_decode_4k", 32, 8, 64, 1, 4096, 4095},
                                         Case{"llama1b_prefill", 32, 8, 64, 128, 512, 0, 16, 300},
                                         Case{"llama1b_decode", 32, 8, 64, 1, 512, 127},
                                         Case{"qwen3_prefill", 16, 8, 128, 128, 256, 0, 10, 300},
                                         Case{"qwen3_odd_boundary", 16, 8, 128, 17, 64, 31, 10},
                                         Case{"llama1b_decode_1024", 32, 8, 64, 1, 1024, 1023},
                                         Case{"qwen3_decode_512", 16, 8, 128, 1, 512, 511},
                                         Case{"qwen3_decode_1024", 16, 8, 128, 1, 1024, 1023},
                                         Case{"qwen3_decode_4096", 16, 8, 128, 1, 4096, 4095},
                                         Case{"phi4_decode_512", 24, 8, 128, 1, 512, 511},
                                         Case{"phi4_decode_1024", 24, 8, 128, 1, 1024, 1023},
                                         Case{"phi4_decode_4096", 24, 8, 128, 1, 4096, 4095},
                                         Case{"mha_decode_512", 8, 8, 64, 1, 512, 511},
                                         Case{"d64_accuracy", 8, 2, 64, 16, 32, 16},
                                         Case{"d128_accuracy", 8, 2, 128, 16, 32, 16},
                                         Case{"tile2_d64", 8, 2, 64, 1, 32, 31},
                                         Case{"tile2_d128", 8, 2, 128, 1, 32, 31},
                                         Case{"tile2_d4", 8, 2, 4, 1, 32, 31}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(
    LargeRamps, SdpaCases,
    testing::Values(Case{"llama1b_decode_8k", 32, 8, 64, 1, 8192, 8191, 16, 0, true},
                    Case{"llama1b_prefill_512", 32, 8, 64, 512, 512, 0, 16, 200, true},
                    Case{"qwen3_prefill_512", 16, 8, 128, 512, 512, 0, 16, 200, true},
                    Case{"phi4_prefill_512", 24, 8, 128, 512, 512, 0, 16, 200, true},
                    Case{"llama1b_prefill_2048", 32, 8, 64, 2048, 2048, 0, 16, 100, true}),
    name_of);

struct Replay {
  const char* name;
  uint32_t heads, kv_heads, head_dim, context;
  std::vector<uint32_t> steps;
  float divisor = 16;
};

void PrintTo(const Replay& r, std::ostream* out) {
  *out << r.name;
}

// Writes a step's keys or values with update_cache.
void append(Gpu* gpu, const Caps& caps, const UpdateCacheArgs& args, const std::vector<float>& rows,
            const Step& at, std::vector<uint32_t>* cache) {
  const uint32_t columns = args.kv_heads * args.head_dim;
  auto padded = rows;
  padded.resize(size_t{args.tokens} * columns, NAN);
  const auto step = step_words(at.input_pos, at.live);
  const auto x = activation_words(padded, args.tokens, columns);
  std::vector<uint32_t> unused(4, kPoison);
  KernelCall call;
  ASSERT_TRUE(call_update_cache(caps, args, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call, {reads(step), reads(x), reads(x), writes(unused), writes(*cache),
                            reads(unused), reads(unused)}),
            "");
}

// Queries, keys and values side by side through rope_update_cache, which turns nothing here.
void append_fused(Gpu* gpu, const Caps& caps, const SdpaArgs& args, const std::vector<float>& q,
                  const std::vector<float>& k, const std::vector<float>& v, const Step& at,
                  Caches* caches) {
  const uint32_t q_columns = args.heads * args.head_dim;
  const uint32_t kv_columns = args.kv_heads * args.head_dim;
  const uint32_t columns = q_columns + 2 * kv_columns;
  std::vector<float> qkv(size_t{args.tokens} * columns, NAN);
  for (uint32_t t = 0; t < at.live; ++t) {
    auto to = qkv.begin() + ptrdiff_t{t} * columns;
    to = std::copy_n(q.begin() + ptrdiff_t{t} * q_columns, q_columns, to);
    to = std::copy_n(k.begin() + ptrdiff_t{t} * kv_columns, kv_columns, to);
    std::copy_n(v.begin() + ptrdiff_t{t} * kv_columns, kv_columns, to);
  }
  const RopeUpdateCacheArgs rope{args.tokens, args.heads, args.kv_heads, args.head_dim,
                                 0,           false,      args.context,  args.cache};
  const auto step = step_words(at.input_pos, at.live);
  std::vector<uint32_t> out(size_t{args.tokens} * row_stride(q_columns), kPoison);
  KernelCall call;
  ASSERT_TRUE(call_rope_update_cache(caps, rope, &call, nullptr).ok());
  ASSERT_EQ(
      gpu->run(call, {reads(step), reads(activation_words(qkv, args.tokens, columns)), reads(step),
                      writes(out), writes(caches->k), writes(caches->v), reads(step)}),
      "");
  EXPECT_EQ(live_rows(out, at.live, q_columns), q);
}

using ReplayParameters = std::tuple<Replay, DType, bool>;

std::string replay_name(const testing::TestParamInfo<ReplayParameters>& test) {
  const auto& [replay, cache, fused] = test.param;
  return std::string(replay.name) + "_" + std::string(kDTypeNames[static_cast<size_t>(cache)]) +
         (fused ? "_fused" : "_separate");
}

class SdpaReplay : public testing::TestWithParam<ReplayParameters> {};

// Two recordings as an engine has them: one for a chunk of tokens, one for a single token.
TEST_P(SdpaReplay, accumulates_the_cache_over_steps) {
  NBL_REQUIRE_GPU(gpu);
  const auto& [r, cache, fused] = GetParam();
  const uint32_t chunk = *std::max_element(r.steps.begin(), r.steps.end());
  const uint32_t columns = r.kv_heads * r.head_dim;
  for (const Caps& caps : {exact_caps(gpu), gpu->floor_of_caps()}) {
    Caches caches(r.kv_heads, r.context, r.head_dim, cache);
    Caches exact(r.kv_heads, r.context, r.head_dim, DType::f32);
    Step step{0, 0};
    for (const uint32_t live : r.steps) {
      step.live = live;
      SdpaArgs args{live == 1 ? 1 : chunk,
                    r.heads,
                    r.kv_heads,
                    r.head_dim,
                    r.context,
                    1.0f / std::sqrt(static_cast<float>(r.head_dim))};
      args.cache = cache;
      const auto q = rows_of(kQueries, live, r.heads * r.head_dim, r.divisor, step.input_pos);
      const auto k = rows_of(kKeys, live, columns, r.divisor, step.input_pos);
      const auto v = rows_of(kValues, live, columns, r.divisor, step.input_pos);
      if (fused) {
        append_fused(gpu, caps, args, q, k, v, step, &caches);
      } else {
        const UpdateCacheArgs update{args.tokens, r.kv_heads, r.head_dim, r.context, cache};
        append(gpu, caps, update, k, step, &caches.k);
        append(gpu, caps, update, v, step, &caches.v);
      }
      write_ramps(kKeys, kValues, 0, step.input_pos + live, r.divisor, &exact);
      const auto queries = all_queries(live, r.heads);
      const auto want = reference_attention(args, exact, q, step, queries);
      const auto rows = run_attention(gpu, caps, args, caches, q, step);
      expect_near(want, rows, tolerance_of(cache, r.divisor));
      step.input_pos += live;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sequences, SdpaReplay,
    testing::Combine(
        testing::Values(Replay{"small", 8, 4, 4, 16, {3, 1, 1, 5, 1, 1, 2}},
                        Replay{"small_wide_cache", 8, 4, 4, 142, {3, 1, 1, 5, 1, 1, 2}},
                        Replay{"small_dynamic", 6, 2, 8, 16, {3, 1, 1, 5, 1, 1}},
                        Replay{"small_dynamic_wide_cache", 6, 2, 8, 140, {3, 1, 1, 5, 1, 1}},
                        Replay{"llama3", 24, 8, 128, 256, {111, 1, 1, 1, 57, 1, 1}},
                        Replay{"gqa4", 8, 2, 64, 141, {5, 1, 1, 1, 1, 3, 1}},
                        Replay{"qwen3", 16, 8, 128, 64, {17, 1}, 10}),
        testing::Values(DType::f16, DType::f32, DType::i8), testing::Bool()),
    replay_name);

// The negative controls: a position or a cache that is not the step's own must show.
TEST(SdpaReplayControls, diverge_where_the_position_or_the_cache_is_wrong) {
  NBL_REQUIRE_GPU(gpu);
  const SdpaArgs args{1, 6, 2, 8, 16, 0.35355339f};
  Random random(11);
  Caches caches(2, 16, 8);
  write_ramps(kKeys, kValues, 0, 6, 16, &caches);
  const auto q = random.normals(48);
  const auto want = reference_attention(args, caches, q, {5, 1}, all_queries(1, 6));
  const auto right = run_attention(gpu, gpu->caps(), args, caches, q, {5, 1});
  const auto pinned = run_attention(gpu, gpu->caps(), args, caches, q, {0, 1});
  Caches fresh(2, 16, 8);
  write_ramps(kOldKeys, kOldValues, 0, 6, 16, &fresh);
  const auto other = run_attention(gpu, gpu->caps(), args, fresh, q, {5, 1});
  EXPECT_LT(relative_error(want, right), kAttentionError);
  EXPECT_GT(relative_error(want, pinned), 1e-2);
  EXPECT_GT(relative_error(want, other), 1e-2);
}

}  // namespace
}  // namespace nbl::test
