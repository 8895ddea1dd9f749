// What could break: columns that fill neither a vec4 nor a workgroup, the mean over padded columns
// instead of real ones, sums across subgroups, rows past the live tokens.
#include "rt/kernels/rms_norm.h"

#include <gtest/gtest.h>

#include "rt/kernels/variants.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

struct Case {
  uint32_t columns, tokens, live;
};

std::vector<double> reference(const std::vector<float>& x, const std::vector<float>& weight,
                              uint32_t rows, float eps) {
  const size_t columns = weight.size();
  std::vector<double> out;
  for (uint32_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (size_t c = 0; c < columns; ++c)
      squares += double{x[r * columns + c]} * x[r * columns + c];
    const double root = std::sqrt(squares / static_cast<double>(columns) + eps);
    for (size_t c = 0; c < columns; ++c)
      out.push_back(x[r * columns + c] / root * weight[c]);
  }
  return out;
}

// Sums of at most 8192 squares by 64 lanes or more: about 128 + 7 additions of 6e-8 at worst.
constexpr double kLimit = 2e-6;

void expect_case(Gpu* gpu, const Caps& caps, const Case& c, float size, float eps) {
  Random random(c.columns * 100 + c.live);
  auto x = random.normals(size_t{c.tokens} * c.columns);
  for (float& value : x)
    value *= size;
  const auto weight = random.normals(c.columns);
  std::vector<uint32_t> out(size_t{c.tokens} * row_stride(c.columns), kPoison);
  KernelCall call;
  ASSERT_TRUE(call_rms_norm(caps, {c.tokens, c.columns, eps}, &call, nullptr).ok());
  ASSERT_EQ(
      gpu->run(call, {reads(step_words(0, c.live)), reads(activation_words(x, c.tokens, c.columns)),
                      reads(activation_words(weight, 1, c.columns)), writes(out)}),
      "");
  const auto got = live_rows(out, c.live, c.columns);
  EXPECT_LT(relative_error(reference(x, weight, c.live, eps), got), kLimit)
      << "columns " << c.columns << " variant " << kVariants[call.variant].name << " local "
      << call.spec[0];
}

TEST(RmsNorm, matches_float64_in_every_variant) {
  NBL_REQUIRE_GPU(gpu);
  Caps one_lane = gpu->caps();
  one_lane.features &= ~uint32_t{kScalarLoads};
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps(), one_lane}) {
    for (const Case& c : {Case{1, 1, 1}, Case{3, 2, 2}, Case{31, 3, 2}, Case{32, 5, 5},
                          Case{33, 17, 17}, Case{97, 5, 1}, Case{288, 64, 63}, Case{576, 2, 1},
                          Case{577, 3, 3}, Case{2048, 2, 2}, Case{8191, 3, 2}}) {
      expect_case(gpu, caps, c, 1.0f, 1e-5f);
    }
  }
}

TEST(RmsNorm, holds_from_tiny_to_huge_rows) {
  NBL_REQUIRE_GPU(gpu);
  for (const float size : {1e-12f, 1e-3f, 1e4f, 1e15f}) {
    expect_case(gpu, gpu->caps(), {100, 3, 3}, size, 1e-6f);
    expect_case(gpu, gpu->floor_of_caps(), {100, 3, 3}, size, 1e-6f);
  }
}

TEST(RmsNorm, of_a_zero_row_is_zero) {
  NBL_REQUIRE_GPU(gpu);
  std::vector<uint32_t> out(64, kPoison);
  KernelCall call;
  ASSERT_TRUE(call_rms_norm(gpu->caps(), {1, 40, 1e-5f}, &call, nullptr).ok());
  ASSERT_EQ(
      gpu->run(call, {reads(step_words(0, 1)), reads(std::vector<uint32_t>(64, 0)),
                      reads(activation_words(std::vector<float>(40, 1.0f), 1, 40)), writes(out)}),
      "");
  for (uint32_t i = 0; i < out.size(); ++i)
    EXPECT_EQ(out[i], 0u) << "word " << i;
}

// Slices of every alignment: the mean is that of a slice, the weight begins anew in each.
TEST(RmsNorm, normalises_each_head_on_its_own) {
  NBL_REQUIRE_GPU(gpu);
  Caps one_lane = gpu->caps();
  one_lane.features &= ~uint32_t{kScalarLoads};
  const struct {
    uint32_t heads, dim, tokens, live;
  } cases[] = {{2, 1, 3, 2},  {31, 1, 2, 2},  {2, 2, 5, 5},    {7, 3, 3, 3},  {3, 4, 2, 1},
               {8, 8, 4, 3},  {5, 12, 3, 3},  {3, 31, 17, 16}, {3, 33, 2, 2}, {16, 64, 3, 2},
               {9, 80, 2, 2}, {2, 128, 1, 1}, {5, 257, 3, 2}};
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps(), one_lane}) {
    for (const auto& c : cases) {
      const uint32_t columns = c.heads * c.dim;
      Random random(columns + c.live);
      const auto x = random.normals(size_t{c.tokens} * columns);
      const auto weight = random.normals(c.dim);
      std::vector<uint32_t> out(size_t{c.tokens} * row_stride(columns), kPoison);
      KernelCall call;
      ASSERT_TRUE(call_rms_norm(caps, {c.tokens, columns, 1e-5f, c.heads}, &call, nullptr).ok());
      ASSERT_EQ(gpu->run(call, {reads(step_words(0, c.live)),
                                reads(activation_words(x, c.tokens, columns)),
                                reads(activation_words(weight, 1, c.dim)), writes(out)}),
                "");
      const auto got = live_rows(out, c.live, columns);
      EXPECT_LT(relative_error(reference(x, weight, c.live * c.heads, 1e-5f), got), kLimit)
          << c.heads << " heads of " << c.dim << " variant " << kVariants[call.variant].name;
    }
  }
}

TEST(RmsNorm, folds_its_grid) {
  KernelCall call;
  ASSERT_TRUE(call_rms_norm(floor_caps(), {100000, 32, 1e-5f}, &call, nullptr).ok());
  EXPECT_GE(call.grid[0] * call.grid[1], 100000u);
  EXPECT_LE(call.grid[0], 65535u);
}

}  // namespace
}  // namespace nbl::test
