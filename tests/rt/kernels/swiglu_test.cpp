// What could break: exp of large inputs, the tail of the last workgroup, rows past the live tokens.
#include "rt/kernels/swiglu.h"

#include <gtest/gtest.h>

#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

// exp and one division: a few units in the last place.
constexpr double kLimit = 2e-6;

std::vector<float> run(Gpu* gpu, uint32_t tokens, uint32_t columns, uint32_t live,
                       const std::vector<float>& gate, const std::vector<float>& up) {
  std::vector<uint32_t> out(size_t{tokens} * row_stride(columns), kPoison);
  KernelCall call;
  EXPECT_TRUE(call_swiglu(gpu->caps(), {tokens, columns}, &call, nullptr).ok());
  EXPECT_EQ(
      gpu->run(call, {reads(step_words(9, live)), reads(activation_words(gate, tokens, columns)),
                      reads(activation_words(up, tokens, columns)), writes(out)}),
      "");
  return live_rows(out, live, columns);
}

double silu(double x) {
  return x / (1 + std::exp(-x));
}

TEST(Swiglu, matches_float64) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t columns : {1u, 31u, 32u, 33u, 97u, 1536u}) {
    for (const uint32_t live : {1u, 2u, 3u, 5u, 17u}) {
      Random random(columns * 64 + live);
      const uint32_t tokens = 17;
      auto gate = random.normals(size_t{tokens} * columns);
      const auto up = random.normals(size_t{tokens} * columns);
      for (float& value : gate)
        value *= 4;
      std::vector<double> want;
      for (size_t i = 0; i < size_t{live} * columns; ++i)
        want.push_back(silu(gate[i]) * up[i]);
      EXPECT_LT(relative_error(want, run(gpu, tokens, columns, live, gate, up)), kLimit);
    }
  }
}

TEST(Swiglu, stays_finite_at_the_ends) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> gate = {0, -0.0f, 20, -20, 87, -87, 89, -89, 1e4f, -1e4f, 1e30f, -1e30f};
  const std::vector<float> up(gate.size(), 2.0f);
  const auto got = run(gpu, 1, static_cast<uint32_t>(gate.size()), 1, gate, up);
  ASSERT_EQ(got.size(), gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    const double want = gate[i] < -700 ? 0 : 2 * silu(gate[i]);
    EXPECT_NEAR(got[i], want, 1e-6 * std::fabs(want) + 1e-6) << "gate " << gate[i];
  }
}

}  // namespace
}  // namespace nbl::test
