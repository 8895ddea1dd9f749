// What could break: the near edge of a window, keys before it that are read all the same (they hold
// NaN here), the cap's tanh near 0 and far from it, masks of -inf, and any two of these together.
#include <gtest/gtest.h>

#include <limits>

#include "rt/kernels/sdpa.h"
#include "tests/support/attention.h"

namespace nbl::test {
namespace {

struct Mode {
  const char* name;
  uint32_t window = 0;
  float softcap = 0;
  bool full = false;
  bool mask = false;
};

void PrintTo(const Mode& mode, std::ostream* out) {
  *out << mode.name;
}

struct Shape {
  uint32_t heads, kv_heads, head_dim;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Numbers as masks have them: biases, -1e9 and -inf for what is hidden, the lowest float for the
// same. Everybody sees themselves.
std::vector<float> random_mask(Random& random, uint32_t context, uint32_t stride) {
  std::vector<float> mask(size_t{context} * stride);
  for (uint32_t row = 0; row < context; ++row) {
    for (uint32_t c = 0; c < stride; ++c) {
      constexpr float kHidden[] = {-kInfinity, -1e9f, std::numeric_limits<float>::lowest()};
      const bool hide = c != row && random.below(3) == 0;
      mask[size_t{row} * stride + c] = hide ? kHidden[random.below(3)] : random.normal();
    }
  }
  return mask;
}

struct Where {
  uint32_t tokens, live, input_pos, context, splits;
};

void expect_mode(Gpu* gpu, const Caps& caps, const Mode& mode, const Shape& shape,
                 const Where& where, DType cache, float size = 1) {
  const auto& [tokens, live, input_pos, context, splits] = where;
  Random random(shape.head_dim * 1009 + input_pos * 31 + live);
  SdpaArgs args{tokens,         shape.heads, shape.kv_heads,
                shape.head_dim, context,     size / std::sqrt(static_cast<float>(shape.head_dim)),
                splits,         cache};
  args.window = mode.window;
  args.softcap = mode.softcap;
  args.full = mode.full;
  args.mask_stride = mode.mask ? context + 3 : 0;
  Caches caches(shape.kv_heads, context, shape.head_dim, cache);
  // Nothing lies before the first query's window.
  const uint32_t seen = mode.window == 0 ? input_pos + 1 : std::min(input_pos + 1, mode.window);
  for (uint32_t h = 0; h < shape.kv_heads; ++h) {
    for (uint32_t p = input_pos + 1 - seen; p < std::min(context, input_pos + live); ++p) {
      caches.set_row(&caches.k, h, p, random.normals(shape.head_dim));
      caches.set_row(&caches.v, h, p, random.normals(shape.head_dim));
    }
  }
  Step step{input_pos, live};
  if (mode.mask) step.mask = random_mask(random, context, args.mask_stride);
  const auto q = random.normals(size_t{live} * shape.heads * shape.head_dim);
  expect_attention(gpu, caps, args, caches, q, step, all_queries(live, shape.heads),
                   kAttentionError * std::max(1.0f, size));
}

std::vector<Caps> devices(Gpu* gpu) {
  Caps wide = gpu->floor_of_caps();
  wide.kind = DeviceKind::discrete;
  return {gpu->caps(), gpu->floor_of_caps(), wide};
}

class SdpaModes : public testing::TestWithParam<Mode> {};

TEST_P(SdpaModes, match_float64) {
  NBL_REQUIRE_GPU(gpu);
  const Mode& mode = GetParam();
  const Caps floor = gpu->floor_of_caps();
  Caps wide = floor;
  wide.kind = DeviceKind::discrete;
  expect_mode(gpu, gpu->caps(), mode, {6, 2, 64}, {17, 17, 100, 140, 1}, DType::f16);
  expect_mode(gpu, gpu->caps(), mode, {6, 2, 64}, {17, 5, 63, 140, 3}, DType::f16);
  expect_mode(gpu, gpu->caps(), mode, {5, 1, 36}, {1, 1, 139, 140, 1}, DType::i8);
  expect_mode(gpu, floor, mode, {6, 2, 64}, {17, 5, 63, 140, 3}, DType::i8);
  expect_mode(gpu, floor, mode, {4, 4, 12}, {17, 9, 0, 140, 2}, DType::f32);
  expect_mode(gpu, floor, mode, {4, 4, 12}, {17, 17, 100, 140, 1}, DType::f32);
  expect_mode(gpu, wide, mode, {5, 1, 40}, {1, 1, 139, 140, 4}, DType::f16);
  expect_mode(gpu, wide, mode, {5, 1, 40}, {1, 1, 0, 140, 4}, DType::f16);
}

INSTANTIATE_TEST_SUITE_P(
    All, SdpaModes,
    testing::Values(Mode{"window_1", 1}, Mode{"window_2", 2}, Mode{"window_63", 63},
                    Mode{"window_64", 64}, Mode{"window_65", 65}, Mode{"window_139", 139},
                    Mode{"cap_1", 0, 1}, Mode{"cap_50", 0, 50}, Mode{"cap_1e4", 0, 1e4f},
                    Mode{"full", 0, 0, true}, Mode{"mask", 0, 0, false, true},
                    Mode{"full_mask", 0, 0, true, true}, Mode{"full_window", 20, 0, true},
                    Mode{"window_cap", 30, 5}, Mode{"everything", 67, 3, true, true}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(SdpaSoftcap, holds_scores_of_every_size) {
  NBL_REQUIRE_GPU(gpu);
  for (const float size : {1e-3f, 0.1f, 10.0f, 300.0f}) {
    const Mode mode{"cap", 0, 30};
    expect_mode(gpu, gpu->caps(), mode, {6, 2, 64}, {3, 3, 70, 80, 1}, DType::f16, size);
    expect_mode(gpu, gpu->floor_of_caps(), mode, {6, 2, 20}, {3, 3, 70, 80, 2}, DType::f16, size);
  }
}

TEST(SdpaWindow, long_past_is_not_walked) {
  NBL_REQUIRE_GPU(gpu);
  const Mode mode{"window", 100};
  for (const Caps& caps : devices(gpu)) {
    expect_mode(gpu, caps, mode, {8, 2, 64}, {1, 1, 2000, 2048, 0}, DType::f16);
    expect_mode(gpu, caps, mode, {8, 2, 64}, {24, 24, 1950, 2048, 0}, DType::i8);
  }
}

// A query that the mask leaves nothing gives 0, and a block of nothing before one of something does
// no harm.
TEST(SdpaMask, may_hide_everything) {
  NBL_REQUIRE_GPU(gpu);
  for (const Caps& caps : devices(gpu)) {
    for (const uint32_t splits : {1u, 3u}) {
      Random random(3);
      SdpaArgs args{3, 2, 1, 16, 200, 0.25f, splits};
      args.mask_stride = 200;
      Caches caches(1, 200, 16);
      for (uint32_t p = 0; p < 183; ++p) {
        caches.set_row(&caches.k, 0, p, random.normals(16));
        caches.set_row(&caches.v, 0, p, random.normals(16));
      }
      Step step{180, 3, std::vector<float>(200 * 200, 0.0f)};
      std::fill_n(step.mask.begin() + 181 * 200, 200, -kInfinity);
      std::fill_n(step.mask.begin() + 182 * 200, 182, -kInfinity);
      const auto q = random.normals(3 * 32);
      expect_attention(gpu, caps, args, caches, q, step, all_queries(3, 2));
      const auto rows = run_attention(gpu, caps, args, caches, q, step);
      ASSERT_EQ(rows.size(), 96u);
      EXPECT_EQ(std::vector<float>(rows.begin() + 32, rows.begin() + 64),
                std::vector<float>(32, 0.0f));
    }
  }
}

// Attention without a cache: `keys` keys for `queries` queries, each seeing all of them.
struct General {
  uint32_t batch, heads, queries, keys, head_dim;
  bool bias = false;
  DType cache = DType::f32;
};

void PrintTo(const General& g, std::ostream* out) {
  *out << "B" << g.batch << " H" << g.heads << " S" << g.queries << " L" << g.keys << " D"
       << g.head_dim << (g.bias ? " bias " : " ") << kDTypeNames[static_cast<size_t>(g.cache)];
}

class SdpaGeneral : public testing::TestWithParam<General> {};

TEST_P(SdpaGeneral, sees_every_key) {
  NBL_REQUIRE_GPU(gpu);
  const General& g = GetParam();
  for (uint32_t batch = 0; batch < g.batch; ++batch) {
    for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
      Random random(g.head_dim * 31 + batch);
      // The queries stand at the end of the keys; where there are more of them, past it.
      const uint32_t input_pos = g.keys - std::min(g.keys, g.queries);
      SdpaArgs args{g.queries,  g.heads, g.heads,
                    g.head_dim, g.keys,  1 / std::sqrt(static_cast<float>(g.head_dim)),
                    1,          g.cache};
      args.full = true;
      args.mask_stride = g.bias ? g.keys : 0;
      Caches caches(g.heads, g.keys, g.head_dim, g.cache);
      for (uint32_t h = 0; h < g.heads; ++h) {
        for (uint32_t p = 0; p < g.keys; ++p) {
          caches.set_row(&caches.k, h, p, random.normals(g.head_dim));
          caches.set_row(&caches.v, h, p, random.normals(g.head_dim));
        }
      }
      Step step{input_pos, g.queries};
      if (g.bias) step.mask = random.normals(size_t{g.keys} * g.keys);
      const auto q = random.normals(size_t{g.queries} * g.heads * g.head_dim);
      expect_attention(gpu, caps, args, caches, q, step, all_queries(g.queries, g.heads));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, SdpaGeneral,
                         testing::Values(General{1, 2, 4, 4, 8}, General{1, 2, 4, 8, 8, true},
                                         General{1, 4, 4, 16, 16}, General{2, 4, 8, 8, 16},
                                         General{1, 8, 4, 4, 32, true}, General{1, 2, 5, 4, 32},
                                         General{1, 8, 4, 8, 32},
                                         General{1, 4, 8, 8, 16, false, DType::f16},
                                         General{1, 4, 8, 16, 16, true, DType::f16},
                                         General{2, 3, 7, 9, 20, true, DType::i8}));

}  // namespace
}  // namespace nbl::test
