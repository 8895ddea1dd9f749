// What could break: the new key and value beside the cached ones, where the context is cut into
// parts and how the last work-group joins them, the counters, and what rope and update_cache do.
#include "rt/kernels/sdpa_token.h"

#include <gtest/gtest.h>

#include "rt/kernels/rope_update_cache.h"
#include "spirv/step_state.h"
#include "tests/support/attention.h"
#include "tests/support/rope_table.h"

namespace nbl::test {
namespace {

struct Case {
  uint32_t heads, kv_heads, head_dim, rotary_dim, context, input_pos;
  bool half;
  DType cache = DType::f16;
  uint32_t window = 0;
  float softcap = 0;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "H" << c.heads << "/" << c.kv_heads << " D" << c.head_dim << " R" << c.rotary_dim
       << " at " << c.input_pos << (c.half ? " half " : " ")
       << kDTypeNames[static_cast<size_t>(c.cache)] << " window " << c.window << " cap "
       << c.softcap;
}

Caps wide_caps(const Gpu& gpu) {
  Caps caps = gpu.caps();
  caps.kind = DeviceKind::discrete;
  caps.features &= ~uint32_t{kScalarLoads};
  caps.max_shared_bytes = std::max(caps.max_shared_bytes, 32768u);
  return caps;
}

SdpaTokenArgs args_of(const Case& c) {
  return {c.heads,   c.kv_heads, c.head_dim, c.rotary_dim, c.half,
          c.context, 0.2f,       c.cache,    c.window,     c.softcap};
}

std::vector<uint32_t> step_of(uint32_t input_pos, uint32_t live) {
  std::vector<uint32_t> step = step_words(input_pos, live);
  std::fill_n(step.begin() + STEP_COUNTERS, STEP_COUNTER_COUNT, 0u);
  return step;
}

struct Data {
  explicit Data(const Case& c) : caches(c.kv_heads, c.context, c.head_dim, c.cache) {
    Random random(c.heads * 100 + c.input_pos);
    const uint32_t columns = (c.heads + 2 * c.kv_heads) * c.head_dim;
    qkv = activation_words(random.normals(columns), 1, columns, NAN);
    table = words_of(rope_table(c.context, c.rotary_dim, 1e4));
    // What lies before the window stays NaN.
    const uint32_t hidden = c.input_pos + 1 - std::min(c.input_pos + 1, c.window);
    for (uint32_t h = 0; h < c.kv_heads; ++h) {
      for (uint32_t p = c.window == 0 ? 0 : hidden; p < c.input_pos; ++p) {
        caches.set_row(&caches.k, h, p, random.normals(c.head_dim));
        caches.set_row(&caches.v, h, p, random.normals(c.head_dim));
      }
    }
  }
  Caches caches;
  std::vector<uint32_t> qkv, table;
};

// Two runs, so that counters left behind by the first would show.
void run_token(Gpu* gpu, const Case& c, Data& data, std::vector<uint32_t>& step,
               std::vector<uint32_t>& out, uint32_t repeats) {
  const SdpaTokenArgs args = args_of(c);
  const SdpaPartialBytes bytes = sdpa_token_partial_bytes(args);
  std::vector<uint32_t> sums(bytes.sums / 4, kPoison), max_sum(bytes.max_sum / 4, kPoison);
  KernelCall call;
  ASSERT_TRUE(call_sdpa_token(wide_caps(*gpu), args, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call,
                     {writes(step), reads(data.qkv), reads(data.table), writes(data.caches.k),
                      writes(data.caches.v), writes(out), writes(sums), writes(max_sum)},
                     repeats),
            "");
}

// Puts one row of both caches of `from` into *to.
void copy_row(const Caches& from, uint32_t head, uint32_t position, Caches* to) {
  const size_t words = from.head_dim / (from.type == DType::i8 ? 4 : 2);
  const size_t at = (size_t{head} * from.context + position) * words;
  for (size_t i = at; i < at + words; ++i) {
    to->k[i] = from.k[i];
    to->v[i] = from.v[i];
  }
  if (from.type != DType::i8) return;
  const size_t scale = from.scale_index(head, position);
  to->k[scale] = from.k[scale];
  to->v[scale] = from.v[scale];
}

class SdpaToken : public testing::TestWithParam<Case> {};

TEST_P(SdpaToken, matches_the_separate_kernels_and_float64) {
  NBL_REQUIRE_GPU(gpu);
  const Case& c = GetParam();
  if (!sdpa_token_fits(wide_caps(*gpu), args_of(c))) GTEST_SKIP() << "no room on this device";
  Data data(c);
  const Data before = data;
  const uint32_t columns = c.heads * c.head_dim;
  const auto step = step_of(c.input_pos, 1);
  auto step_after = step;
  std::vector<uint32_t> out(row_stride(columns), kPoison);
  run_token(gpu, c, data, step_after, out, 2);
  EXPECT_EQ(step_after, step) << "counters must be 0 again";

  std::vector<uint32_t> q(row_stride(columns), kPoison);
  Caches caches = before.caches;
  const RopeUpdateCacheArgs rope{1,      c.heads,   c.kv_heads, c.head_dim, c.rotary_dim,
                                 c.half, c.context, c.cache};
  KernelCall call;
  ASSERT_TRUE(call_rope_update_cache(gpu->caps(), rope, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call, {reads(step), reads(data.qkv), reads(data.table), writes(q),
                            writes(caches.k), writes(caches.v), reads(step)}),
            "");
  if (c.cache == DType::f16) {
    EXPECT_EQ(data.caches.v, caches.v);
  }
  const std::vector<float> queries = live_rows(q, 1, columns);
  std::vector<double> rows;
  std::vector<float> fused_rows;
  for (const auto& [separate, fused] :
       {std::pair(&caches.k, &data.caches.k), std::pair(&caches.v, &data.caches.v)}) {
    for (uint32_t h = 0; h < c.kv_heads; ++h) {
      for (uint32_t d = 0; d < c.head_dim; ++d) {
        rows.push_back(caches.value(*separate, h, c.input_pos, d));
        fused_rows.push_back(static_cast<float>(caches.value(*fused, h, c.input_pos, d)));
      }
    }
  }
  // Contractions may differ by a float32 rounding, which rarely moves an element by a step.
  EXPECT_LT(relative_error(rows, fused_rows), c.cache == DType::i8 ? 1.0 / 256 : 1.0 / 4096);
  Caches untouched = data.caches;
  for (uint32_t h = 0; h < c.kv_heads; ++h) {
    copy_row(before.caches, h, c.input_pos, &untouched);
  }
  EXPECT_EQ(untouched.k, before.caches.k) << "another row was written";
  EXPECT_EQ(untouched.v, before.caches.v) << "another row was written";

  SdpaArgs args{1, c.heads, c.kv_heads, c.head_dim, c.context, 0.2f};
  args.window = c.window;
  args.softcap = c.softcap;
  const auto want =
      reference_attention(args, data.caches, queries, {c.input_pos, 1}, all_queries(1, c.heads));
  EXPECT_LT(relative_error(want, live_rows(out, 1, columns)), kAttentionError);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SdpaToken,
    testing::Values(Case{1, 1, 8, 8, 1, 0, false}, Case{9, 3, 64, 64, 130, 0, false},
                    Case{9, 3, 64, 64, 130, 63, true}, Case{32, 8, 64, 64, 4096, 127, false},
                    Case{32, 8, 64, 64, 4096, 128, false}, Case{32, 8, 64, 64, 300, 255, false},
                    Case{32, 8, 64, 64, 2500, 2100, true}, Case{6, 6, 48, 48, 300, 200, false},
                    Case{4, 2, 128, 64, 4500, 4300, true}, Case{3, 3, 40, 20, 700, 699, false},
                    Case{2, 1, 256, 256, 300, 140, false}, Case{8, 1, 32, 32, 400, 300, false}));

INSTANTIATE_TEST_SUITE_P(Modes, SdpaToken,
                         testing::Values(Case{9, 3, 64, 64, 130, 0, false, DType::i8},
                                         Case{9, 3, 64, 64, 2500, 2100, true, DType::i8},
                                         Case{5, 1, 8, 8, 300, 130, false, DType::i8},
                                         Case{2, 1, 256, 128, 300, 299, false, DType::i8},
                                         Case{6, 2, 64, 64, 2500, 2100, false, DType::f16, 1},
                                         Case{6, 2, 64, 64, 2500, 2100, false, DType::f16, 129},
                                         Case{6, 2, 64, 64, 2500, 700, false, DType::f16, 1000},
                                         Case{6, 2, 64, 64, 2500, 2100, false, DType::i8, 1000},
                                         Case{6, 2, 64, 64, 300, 200, false, DType::f16, 0, 2},
                                         Case{5, 1, 40, 20, 700, 699, true, DType::i8, 333, 30}));

TEST(SdpaTokenSteps, a_step_without_a_token_writes_nothing) {
  NBL_REQUIRE_GPU(gpu);
  const Case c{4, 2, 64, 64, 300, 200, false};
  Data data(c);
  const Caches before = data.caches;
  auto step = step_of(c.input_pos, 0);
  std::vector<uint32_t> out(row_stride(256), kPoison);
  run_token(gpu, c, data, step, out, 1);
  EXPECT_EQ(out, std::vector<uint32_t>(row_stride(256), kPoison));
  EXPECT_EQ(data.caches.k, before.k);
  EXPECT_EQ(data.caches.v, before.v);
}

TEST(SdpaTokenChoice, only_wide_devices_and_shapes_that_fit_take_it) {
  const SdpaTokenArgs args{32, 8, 64, 64, false, 4096, 0.125f};
  Caps caps = floor_caps();
  caps.max_shared_bytes = 49152;
  EXPECT_FALSE(sdpa_token_fits(caps, args));
  caps.kind = DeviceKind::discrete;
  EXPECT_FALSE(sdpa_token_fits(caps, args));
  caps.max_invocations = 256;
  EXPECT_TRUE(sdpa_token_fits(caps, args));
  SdpaTokenArgs odd = args;
  odd.head_dim = 36;
  EXPECT_FALSE(sdpa_token_fits(caps, odd));
  odd = args;
  odd.cache = DType::f32;
  EXPECT_FALSE(sdpa_token_fits(caps, odd));
  odd.cache = DType::i8;
  EXPECT_TRUE(sdpa_token_fits(caps, odd));
  odd = args;
  odd.kv_heads = 16;
  EXPECT_FALSE(sdpa_token_fits(caps, odd));
  odd = args;
  odd.kv_heads = 2;
  EXPECT_FALSE(sdpa_token_fits(caps, odd));
  caps.max_shared_bytes = 16384;
  EXPECT_FALSE(sdpa_token_fits(caps, args));
}

}  // namespace
}  // namespace nbl::test
