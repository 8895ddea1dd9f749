// What could break: the place of a row's words and scales in the window, rows past the live ones,
// the angle that keys are turned back by, tables with a factor, rows that are read after they were
// written.
#include "rt/kernels/cache_rows.h"

#include <gtest/gtest.h>

#include <cmath>

#include "spirv/cache_rows.push.h"
#include "tests/support/caches.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rope_table.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

constexpr double kTheta = 1e4;

std::vector<uint32_t> task(uint32_t position, uint32_t count, bool load) {
  std::vector<uint32_t> words = step_words(position, count);
  words[STEP_ROWS_LOAD] = load ? 1 : 0;
  return words;
}

// Rows as update_cache and rope write them, all positions of them.
Caches filled(uint32_t kv_heads, uint32_t context, uint32_t head_dim, DType type, Random* random) {
  Caches caches(kv_heads, context, head_dim, type);
  for (uint32_t h = 0; h < kv_heads; ++h) {
    for (uint32_t p = 0; p < context; ++p) {
      caches.set_row(&caches.k, h, p, random->normals(head_dim));
      caches.set_row(&caches.v, h, p, random->normals(head_dim));
    }
  }
  return caches;
}

uint32_t words_of_row(const Caches& c) {
  return c.kv_heads * cache_row_bytes(c.type, c.head_dim) / 4;
}

TEST(CacheRows, come_back_bit_by_bit_to_other_positions) {
  NBL_REQUIRE_GPU(gpu);
  Random random(1);
  for (const DType type : {DType::f16, DType::f32, DType::i8}) {
    for (const uint32_t heads : {1u, 3u, 8u}) {
      for (const uint32_t dim : {4u, 20u, 64u}) {
        constexpr uint32_t kContext = 37, kRows = 11, kOffset = 5;
        const Caches from = filled(heads, kContext, dim, type, &random);
        const uint32_t stride = words_of_row(from) + 9;
        std::vector<uint32_t> window(size_t{kRows} * stride, kPoison);
        KernelCall call;
        ASSERT_TRUE(call_cache_rows(gpu->caps(),
                                    {kRows, heads, dim, kContext, stride, kOffset, type}, &call,
                                    nullptr)
                        .ok());
        ASSERT_EQ(gpu->run(call, {reads(task(20, 7, false)), reads(from.k), writes(window)}), "");
        for (size_t i = 0; i < window.size(); ++i) {
          const size_t column = i % stride;
          const bool written =
              i / stride < 7 && column >= kOffset && column < kOffset + words_of_row(from);
          ASSERT_EQ(window[i] != kPoison, written) << "word " << i;
        }
        // Into a cache with room for more positions.
        Caches to(heads, 50, dim, type);
        ASSERT_TRUE(call_cache_rows(gpu->caps(), {kRows, heads, dim, 50, stride, kOffset, type},
                                    &call, nullptr)
                        .ok());
        ASSERT_EQ(gpu->run(call, {reads(task(43, 7, true)), writes(to.k), reads(window)}), "");
        for (uint32_t h = 0; h < heads; ++h) {
          for (uint32_t p = 0; p < 50; ++p) {
            for (uint32_t d = 0; d < dim; ++d) {
              const double is = to.value(to.k, h, p, d);
              if (p < 43) {
                ASSERT_TRUE(std::isnan(is)) << "position " << p;
              } else {
                ASSERT_EQ(is, from.value(from.k, h, p - 23, d));
              }
            }
          }
        }
      }
    }
  }
}

// A key that was turned for position p + shift and is moved to p is the key turned for p. Every
// rounding is one of the cache's type; float32 sums and angles add 1e-6.
double bound_of(DType type) {
  return type == DType::i8 ? 2 * 0.5 / 127 : type == DType::f16 ? 2 * 0x1p-11 : 1e-6;
}

struct Case {
  uint32_t heads, dim, rotary;
  bool half;
  uint32_t shift;
};

TEST(CacheRows, keys_are_turned_back_by_as_many_positions_as_they_move) {
  NBL_REQUIRE_GPU(gpu);
  Random random(2);
  for (const DType type : {DType::f32, DType::f16, DType::i8}) {
    for (const Case& c :
         {Case{1, 4, 4, false, 3}, Case{3, 20, 12, true, 17}, Case{8, 64, 64, true, 64},
          Case{2, 256, 128, false, 70}, Case{5, 80, 2, true, 65}, Case{2, 12, 0, false, 9}}) {
      constexpr uint32_t kContext = 211, kSinks = 2;
      Caches caches(c.heads, kContext, c.dim, type);
      const uint32_t end = kSinks + 2 * c.shift - 1;  // all but one row move
      std::vector<std::vector<double>> plain;         // [head][position], not turned
      for (uint32_t h = 0; h < c.heads; ++h) {
        for (uint32_t p = 0; p < kContext; ++p) {
          const std::vector<float> row = random.normals(c.dim);
          plain.emplace_back(row.begin(), row.end());
          std::vector<double> key = plain.back();
          rotate_head(key.data(), c.rotary, c.half, p, kTheta);
          caches.set_row(&caches.k, h, p, std::vector<float>(key.begin(), key.end()));
          caches.set_row(&caches.v, h, p, random.normals(c.dim));
        }
      }
      const Caches before = caches;
      std::vector<float> table = rope_table(kContext, std::max(c.rotary, 2u), kTheta);
      for (float& entry : table)
        entry *= 1.3f;  // as a checkpoint's attention factor does
      const bool both = c.rotary > 0;
      KernelCall call;
      ASSERT_TRUE(call_shift_cache(
                      gpu->caps(),
                      {c.shift, c.heads, c.dim, c.rotary, c.half, kContext, c.shift, both, type},
                      &call, nullptr)
                      .ok());
      const std::vector<uint32_t> unused(4, kPoison);
      const std::vector<uint32_t> angles = words_of(table);
      ASSERT_EQ(gpu->run(call, {reads(step_words(kSinks, end - kSinks - c.shift)), reads(unused),
                                reads(angles), reads(unused), writes(caches.k), writes(caches.v),
                                reads(unused)}),
                "");
      for (uint32_t h = 0; h < c.heads; ++h) {
        for (uint32_t p = 0; p < kContext; ++p) {
          const bool moved = p >= kSinks && p + c.shift < end;
          std::vector<double> want(c.dim);
          double peak = 0;
          if (moved) {
            want = plain[size_t{h} * kContext + p + c.shift];
            rotate_head(want.data(), c.rotary, c.half, p, kTheta);
          }
          for (const double x : want)
            peak = std::max(peak, std::abs(x));
          for (uint32_t d = 0; d < c.dim; ++d) {
            const double is = caches.value(caches.k, h, p, d);
            const double value = caches.value(caches.v, h, p, d);
            if (!moved) {
              ASSERT_EQ(is, before.value(before.k, h, p, d)) << "position " << p;
              ASSERT_EQ(value, before.value(before.v, h, p, d));
              continue;
            }
            ASSERT_NEAR(is, want[d], bound_of(type) * std::sqrt(2.0) * peak)
                << "head " << h << " position " << p << " dim " << d << " of " << c.dim;
            const double old = before.value(before.v, h, both ? p + c.shift : p, d);
            ASSERT_NEAR(value, old, 1e-6 * std::abs(old));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace nbl::test
