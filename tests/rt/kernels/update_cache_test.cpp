// What could break: the transposition to [head][position], rounding to f16, writes past the
// context, rows of the cache that are not this step's.
#include "rt/kernels/update_cache.h"

#include <gtest/gtest.h>

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
  KernelCall call;
  ASSERT_TRUE(
      call_update_cache(gpu->caps(), {c.tokens, c.kv_heads, c.head_dim, c.context}, &call, nullptr)
          .ok());
  ASSERT_EQ(gpu->run(call, {reads(step_words(c.input_pos, c.live)),
                            reads(activation_words(x, c.tokens, columns, NAN)), writes(cache)}),
            "");
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
  KernelCall call;
  ASSERT_TRUE(call_update_cache(gpu->caps(), {1, 1, 12, 1}, &call, nullptr).ok());
  ASSERT_EQ(
      gpu->run(call, {reads(step_words(0, 1)), reads(activation_words(x, 1, 12)), writes(cache)}),
      "");
  const uint16_t want[] = {0x3c00, 0xbc02, 0x0000, 0x8002, 0x0400, 0x0000,
                           0x7bff, 0xfbff, 0x7bff, 0x7bff, 0x7bff, 0xfbff};
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(half_at(cache, i), want[i]) << x[i];
}

}  // namespace
}  // namespace nbl::test
