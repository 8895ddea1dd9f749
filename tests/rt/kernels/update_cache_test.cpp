// What could break: the transposition to [head][position], rounding to the cache's type, an int8
// row's scale, writes past the context, rows of the cache that are not this step's.
#include "rt/kernels/update_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/caches.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

struct Case {
  uint32_t kv_heads, head_dim, context, tokens, live, input_pos;
};

// Normals at scales from subnormal halves up to the largest.
float half_range_value(Random& random) {
  return random.normal() * std::ldexp(1.0f, static_cast<int>(random.below(40)) - 26);
}

uint16_t saturated_half(float value) {
  const uint16_t half = f32_to_f16(value);
  return (half & 0x7fff) == 0x7c00 ? static_cast<uint16_t>(half - 1) : half;
}

// Runs update_cache on `cache`; the slots that it has no use for must stay as they are.
void run(Gpu* gpu, const Caps& caps, const UpdateCacheArgs& args, uint32_t input_pos, uint32_t live,
         const std::vector<uint32_t>& x, std::vector<uint32_t>* cache) {
  const std::vector<uint32_t> unused(4, kPoison);
  KernelCall call;
  ASSERT_TRUE(call_update_cache(caps, args, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call, {reads(step_words(input_pos, live)), reads(x), reads(unused),
                            reads(unused), writes(*cache), reads(unused), reads(unused)}),
            "");
}

void expect_case(Gpu* gpu, const Case& c) {
  const uint32_t columns = c.kv_heads * c.head_dim;
  Random random(columns + c.input_pos);
  std::vector<float> x(size_t{c.tokens} * columns);
  for (float& value : x)
    value = half_range_value(random);
  std::vector<uint32_t> cache(size_t{columns} * c.context / 2, kPoison);
  std::vector<uint32_t> want = cache;
  for (uint32_t t = 0; t < c.live && c.input_pos + t < c.context; ++t) {
    for (uint32_t i = 0; i < columns; ++i) {
      const size_t row = size_t{i / c.head_dim} * c.context + c.input_pos + t;
      set_half(want, row * c.head_dim + i % c.head_dim, saturated_half(x[size_t{t} * columns + i]));
    }
  }
  run(gpu, gpu->caps(), {c.tokens, c.kv_heads, c.head_dim, c.context}, c.input_pos, c.live,
      activation_words(x, c.tokens, columns, NAN), &cache);
  size_t different = 0;
  for (size_t i = 0; i < cache.size(); ++i)
    different += cache[i] != want[i];
  EXPECT_EQ(different, 0u) << "words of " << cache.size() << ", head_dim " << c.head_dim << " at "
                           << c.input_pos;
}

TEST(UpdateCache, writes_exactly_the_new_rows_bit_by_bit) {
  NBL_REQUIRE_GPU(gpu);
  for (const Case& c :
       {Case{1, 4, 1, 1, 1, 0}, Case{3, 64, 100, 17, 17, 1}, Case{2, 12, 67, 5, 3, 63},
        Case{5, 20, 70, 3, 2, 64}, Case{8, 128, 130, 64, 64, 65}, Case{1, 252, 33, 17, 16, 0},
        Case{4, 256, 9, 2, 2, 7}, Case{7, 80, 101, 1, 1, 100}}) {
    expect_case(gpu, c);
  }
}

TEST(UpdateCache, drops_positions_past_the_context) {
  NBL_REQUIRE_GPU(gpu);
  expect_case(gpu, {3, 8, 20, 17, 17, 10});
  expect_case(gpu, {3, 8, 20, 4, 4, 20});
  expect_case(gpu, {3, 8, 20, 4, 4, 4000000});
}

TEST(UpdateCache, rounds_ties_to_even_and_saturates) {
  NBL_REQUIRE_GPU(gpu);
  const float tie = 1.0f + 1.0f / 2048;      // between 1 and the next half
  const float odd_tie = 1.0f + 3.0f / 2048;  // between two halves, the upper one even
  const float tiny = std::ldexp(1.0f, -25);  // half of the smallest subnormal
  const float tiny3 = std::ldexp(3.0f, -25);
  const float last = std::ldexp(2047.5f, -25);  // below the smallest normal, rounds to it
  const std::vector<float> x = {tie,  -odd_tie, tiny,  -tiny3,  last,    0.0f,
                                1e6f, -1e6f,    65504, 65519.f, 65520.f, -65536.f};
  std::vector<uint32_t> cache(x.size() / 2, kPoison);
  run(gpu, gpu->caps(), {1, 1, 12, 1}, 0, 1, activation_words(x, 1, 12), &cache);
  const uint16_t want[] = {0x3c00, 0xbc02, 0x0000, 0x8002, 0x0400, 0x0000,
                           0x7bff, 0xfbff, 0x7bff, 0x7bff, 0x7bff, 0xfbff};
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(half_at(cache, i), want[i]) << x[i];
}

// The reference's own ramps and shapes: a step at the start, one further on, and a sequence.
TEST(UpdateCache, takes_f32_over_bit_by_bit) {
  NBL_REQUIRE_GPU(gpu);
  Random random(4);
  for (const Case& c :
       {Case{2, 4, 8, 2, 2, 0}, Case{2, 4, 8, 2, 2, 5}, Case{4, 8, 16, 3, 3, 0},
        Case{4, 8, 16, 3, 3, 10}, Case{3, 36, 70, 17, 9, 50}, Case{1, 256, 5, 4, 4, 3}}) {
    for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
      Caches caches(c.kv_heads, c.context, c.head_dim, DType::f32);
      Caches want = caches;
      const uint32_t columns = c.kv_heads * c.head_dim;
      const auto x = random.normals(size_t{c.tokens} * columns);
      for (uint32_t t = 0; t < c.live && c.input_pos + t < c.context; ++t) {
        for (uint32_t h = 0; h < c.kv_heads; ++h) {
          want.set_row(&want.k, h, c.input_pos + t,
                       std::span(x).subspan(size_t{t} * columns + h * c.head_dim, c.head_dim));
        }
      }
      run(gpu, caps, {c.tokens, c.kv_heads, c.head_dim, c.context, DType::f32}, c.input_pos, c.live,
          activation_words(x, c.tokens, columns, NAN), &caches.k);
      EXPECT_EQ(caches.k, want.k);
    }
  }
}

TEST(UpdateCache, a_replay_of_steps_leaves_what_one_step_leaves) {
  NBL_REQUIRE_GPU(gpu);
  Random random(6);
  const auto x = random.normals(14 * 32);
  for (const DType type : {DType::f32, DType::f16, DType::i8}) {
    Caches once(4, 16, 8, type), steps = once;
    run(gpu, gpu->caps(), {14, 4, 8, 16, type}, 0, 14, activation_words(x, 14, 32), &once.k);
    uint32_t at = 0;
    for (const uint32_t live : {3u, 1u, 1u, 5u, 1u, 1u, 2u}) {
      const auto rows = std::vector(x.begin() + at * 32, x.begin() + (at + live) * 32);
      run(gpu, gpu->caps(), {live, 4, 8, 16, type}, at, live, activation_words(rows, live, 32),
          &steps.k);
      at += live;
    }
    EXPECT_EQ(steps.k, once.k);
  }
}

// Each element is off by at most half a step of its row, and the scale is the row's largest / 127.
TEST(UpdateCache, quantizes_each_head_of_each_token_by_its_own_scale) {
  NBL_REQUIRE_GPU(gpu);
  Random random(5);
  for (const Case& c :
       {Case{1, 4, 1, 1, 1, 0}, Case{3, 64, 100, 17, 17, 1}, Case{2, 12, 67, 5, 3, 63},
        Case{5, 20, 70, 3, 2, 64}, Case{8, 128, 130, 64, 64, 65}, Case{1, 252, 33, 17, 16, 0},
        Case{4, 256, 9, 2, 2, 7}, Case{7, 80, 101, 1, 1, 100}, Case{3, 100, 40, 9, 9, 33}}) {
    for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
      const uint32_t columns = c.kv_heads * c.head_dim;
      auto x = random.normals(size_t{c.tokens} * columns);
      for (size_t i = 0; i < x.size(); ++i)
        x[i] *= std::ldexp(1.0f, static_cast<int>(i / c.head_dim % 40) - 20);
      Caches caches(c.kv_heads, c.context, c.head_dim, DType::i8);
      const std::vector<uint32_t> before = caches.k;
      run(gpu, caps, {c.tokens, c.kv_heads, c.head_dim, c.context, DType::i8}, c.input_pos, c.live,
          activation_words(x, c.tokens, columns, NAN), &caches.k);
      for (uint32_t h = 0; h < c.kv_heads; ++h) {
        for (uint32_t p = 0; p < c.context; ++p) {
          const uint32_t scale = caches.k[caches.scale_index(h, p)];
          if (p < c.input_pos || p >= c.input_pos + c.live) {
            const size_t word = caches.index(h, p, 0) / 4;
            EXPECT_EQ(scale, kFloatNan);
            EXPECT_EQ(caches.k[word], before[word]);
            continue;
          }
          const float* row = &x[size_t{p - c.input_pos} * columns + h * c.head_dim];
          float peak = 0;
          for (uint32_t d = 0; d < c.head_dim; ++d)
            peak = std::max(peak, std::abs(row[d]));
          EXPECT_NEAR(std::bit_cast<float>(scale), peak / 127, peak * 1e-8);
          for (uint32_t d = 0; d < c.head_dim; ++d) {
            EXPECT_NEAR(caches.value(caches.k, h, p, d), row[d], peak / 127 * 0.5001);
          }
        }
      }
    }
  }
}

TEST(UpdateCache, int8_rows_of_nothing_and_of_the_largest_floats_stay_finite) {
  NBL_REQUIRE_GPU(gpu);
  std::vector<float> x(3 * 8, 0.0f);
  std::fill_n(x.begin() + 8, 8, 1e-40f);
  x[16] = -3.4e38f;
  x[17] = 3.4e38f;
  Caches caches(1, 3, 8, DType::i8);
  run(gpu, gpu->caps(), {3, 1, 8, 3, DType::i8}, 0, 3, activation_words(x, 3, 8), &caches.k);
  for (uint32_t d = 0; d < 8; ++d) {
    EXPECT_EQ(caches.value(caches.k, 0, 0, d), 0);
    EXPECT_EQ(caches.value(caches.k, 0, 1, d), 0);
    EXPECT_TRUE(std::isfinite(caches.value(caches.k, 0, 2, d)));
  }
  EXPECT_LT(caches.value(caches.k, 0, 2, 0), -3.3e38);
  EXPECT_GT(caches.value(caches.k, 0, 2, 1), 3.3e38);
}

// So that whatever reads the row is no number either; rows beside it are as they were.
TEST(UpdateCache, what_is_not_finite_is_no_number_in_a_cache_of_any_type) {
  NBL_REQUIRE_GPU(gpu);
  for (const DType type : {DType::f32, DType::f16, DType::i8}) {
    for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> x(3 * 8, 2.0f);
      x[8 + 5] = bad;
      Caches caches(1, 3, 8, type);
      run(gpu, gpu->caps(), {3, 1, 8, 3, type}, 0, 3, activation_words(x, 3, 8), &caches.k);
      EXPECT_FALSE(std::isfinite(caches.value(caches.k, 0, 1, 5)));
      for (uint32_t d = 0; d < 8; ++d) {
        EXPECT_NEAR(caches.value(caches.k, 0, 0, d), 2, 1e-6);
        EXPECT_NEAR(caches.value(caches.k, 0, 2, d), 2, 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace nbl::test
