// What could break: the pairing of dims, partial rotation, the table's two angles at far positions
// (where float32 position * frequency is off by whole turns of a degree), the padding.
#include "rt/kernels/rope.h"

#include <gtest/gtest.h>

#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rope_table.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

// Two angles rounded to float32, their sum and the rotation: fewer than ten roundings of 6e-8.
constexpr double kLimit = 3e-7;

struct Case {
  uint32_t heads, head_dim, rotary_dim;
  double theta;
};

void expect_case(Gpu* gpu, const Case& c, bool half, uint32_t tokens, uint32_t live,
                 uint32_t input_pos) {
  const uint32_t columns = c.heads * c.head_dim;
  Random random(columns * 7 + input_pos);
  const auto x = random.normals(size_t{tokens} * columns);
  const auto table = rope_table(input_pos + live, c.rotary_dim, c.theta);
  std::vector<double> want(x.begin(), x.begin() + size_t{live} * columns);
  for (uint32_t i = 0; i < live * c.heads; ++i) {
    rotate_head(&want[size_t{i} * c.head_dim], c.rotary_dim, half, input_pos + i / c.heads,
                c.theta);
  }
  std::vector<uint32_t> out(size_t{tokens} * row_stride(columns), kPoison);
  const RopeArgs args{tokens, c.heads, c.head_dim, c.rotary_dim, half};
  KernelCall call;
  ASSERT_TRUE(call_rope(gpu->caps(), args, &call, nullptr).ok());
  const std::vector<uint32_t> unused(4, kPoison);
  const auto rows = activation_words(x, tokens, columns, NAN);
  ASSERT_EQ(gpu->run(call, {reads(step_words(input_pos, live)), reads(rows), reads(words_of(table)),
                            writes(out), reads(unused), reads(unused), reads(unused)}),
            "");
  EXPECT_LT(relative_error(want, live_rows(out, live, columns)), kLimit)
      << "head_dim " << c.head_dim << " rotary " << c.rotary_dim << " half " << half << " at "
      << input_pos;
}

TEST(Rope, matches_float64_cos_and_sin_at_any_position) {
  NBL_REQUIRE_GPU(gpu);
  for (const Case& c :
       {Case{3, 4, 4, 1e4}, Case{9, 64, 64, 1e5}, Case{2, 128, 128, 5e5}, Case{5, 80, 32, 1e4},
        Case{1, 96, 72, 1e4}, Case{3, 8, 2, 1e4}, Case{2, 12, 6, 1e4}, Case{1, 256, 256, 1e6}}) {
    for (const bool half : {false, true}) {
      for (const uint32_t input_pos : {0u, 1u, 63u, 64u, 65u, 100u, 4095u, 131069u}) {
        expect_case(gpu, c, half, 3, 3, input_pos);
      }
    }
  }
}

TEST(Rope, rotates_the_live_tokens_only) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t live : {1u, 2u, 3u, 5u, 16u, 17u, 64u}) {
    expect_case(gpu, {5, 20, 12, 1e4}, live % 2 == 0, 64, live, 60);
  }
}

TEST(Rope, leaves_position_zero_exactly_alone) {
  NBL_REQUIRE_GPU(gpu);
  Random random(3);
  const auto x = activation_words(random.normals(64), 1, 64);
  std::vector<uint32_t> out(64, kPoison);
  KernelCall call;
  ASSERT_TRUE(call_rope(gpu->caps(), {1, 1, 64, 64, true}, &call, nullptr).ok());
  const std::vector<uint32_t> unused(4, kPoison);
  ASSERT_EQ(
      gpu->run(call, {reads(step_words(0, 1)), reads(x), reads(words_of(rope_table(1, 64, 1e4))),
                      writes(out), reads(unused), reads(unused), reads(unused)}),
      "");
  EXPECT_EQ(out, x);
}

}  // namespace
}  // namespace nbl::test
