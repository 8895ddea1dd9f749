// What could break: exp of large inputs, padding that counts, a row shorter than the workgroup.
#include "rt/kernels/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

std::vector<float> run(Gpu* gpu, const Caps& caps, const SoftmaxArgs& args, uint32_t live,
                       const std::vector<float>& x) {
  std::vector<uint32_t> out(size_t{args.tokens} * row_stride(args.columns), kPoison);
  KernelCall call;
  EXPECT_TRUE(call_softmax(caps, args, &call, nullptr).ok());
  EXPECT_EQ(gpu->run(call, {reads(step_words(3, live)),
                            reads(activation_words(x, args.tokens, args.columns)), writes(out)}),
            "");
  return live_rows(out, live, args.columns);
}

std::vector<double> reference(const std::vector<float>& x, uint32_t rows, size_t columns,
                              float scale) {
  std::vector<double> out;
  for (size_t r = 0; r < rows; ++r) {
    const float* row = x.data() + r * columns;
    const double largest = static_cast<double>(*std::max_element(row, row + columns));
    double total = 0;
    for (size_t c = 0; c < columns; ++c)
      total += std::exp(static_cast<double>(scale) * (static_cast<double>(row[c]) - largest));
    for (size_t c = 0; c < columns; ++c) {
      const double apart = static_cast<double>(row[c]) - largest;
      out.push_back(std::exp(static_cast<double>(scale) * apart) / total);
    }
  }
  return out;
}

// exp() of up to 40 below the largest: 80 units in the last place, of values that are small by
// then.
constexpr double kLimit = 3e-6;

TEST(Softmax, matches_float64) {
  NBL_REQUIRE_GPU(gpu);
  Caps one_lane = gpu->caps();
  one_lane.features &= ~uint32_t{kScalarLoads};
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps(), one_lane}) {
    for (const uint32_t columns : {1u, 2u, 7u, 31u, 32u, 33u, 63u, 65u, 257u, 1031u}) {
      for (const uint32_t live : {1u, 4u, 5u}) {
        for (const float scale : {0.125f, 1.0f, 3.0f}) {
          Random random(columns * 8 + live);
          auto x = random.normals(size_t{5} * columns);
          for (float& value : x)
            value = 4 * value - 30;  // below the padding's 0
          const auto got = run(gpu, caps, {5, columns, scale}, live, x);
          EXPECT_LT(relative_error(reference(x, live, columns, scale), got), kLimit)
              << columns << " columns, scale " << scale;
        }
      }
    }
  }
}

TEST(Softmax, holds_at_the_ends) {
  NBL_REQUIRE_GPU(gpu);
  const float infinity = std::numeric_limits<float>::infinity();
  const Caps caps = gpu->floor_of_caps();
  EXPECT_EQ(run(gpu, caps, {1, 1, 1}, 1, {-3e38f}), std::vector<float>{1});
  EXPECT_EQ(run(gpu, caps, {1, 3, 1}, 1, {3e38f, -3e38f, 3e38f}),
            (std::vector<float>{.5f, 0, .5f}));
  EXPECT_EQ(run(gpu, caps, {1, 4, 2}, 1, {-infinity, 5, -infinity, 5}),
            (std::vector<float>{0, .5f, 0, .5f}));
  EXPECT_TRUE(std::isnan(run(gpu, caps, {1, 2, 1}, 1, {-infinity, -infinity})[0]));
}

TEST(Softmax, folds_its_grid) {
  KernelCall call;
  ASSERT_TRUE(call_softmax(floor_caps(), {100000, 32, 1}, &call, nullptr).ok());
  EXPECT_GE(call.grid[0] * call.grid[1], 100000u);
  EXPECT_LE(call.grid[0], 65535u);
}

}  // namespace
}  // namespace nbl::test
