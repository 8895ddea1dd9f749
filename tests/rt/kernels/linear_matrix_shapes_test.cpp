// What could break: the indices of a matrix kernel for a shape or a subgroup that no device at hand
// has. Shapes are what VK_KHR_cooperative_matrix leaves to the device; here the kernel's matrices
// are emulated (spirv/matrix_emulated.glsl) on a device that has none.
#include <gtest/gtest.h>

#include "tests/rt/kernels/linear_cases.h"

namespace nbl::spirv {
extern const uint32_t matrix_emulated_words[];
extern const uint32_t matrix_emulated_word_count;
}  // namespace nbl::spirv

namespace nbl::test {
namespace {

struct Shape {
  uint32_t m, n, k;
};
void PrintTo(const Shape& s, std::ostream* out) {
  *out << s.m << " x " << s.n << " x " << s.k;
}

class MatrixShape : public testing::TestWithParam<Shape> {};

TEST_P(MatrixShape, matches_float64) {
  NBL_REQUIRE_GPU(gpu);
  Caps caps = eight_cores(gpu->caps(), false);
  if ((caps.features & kFloat16) == 0) GTEST_SKIP() << "the device has no f16 arithmetic";
  // Elsewhere subgroups need not be full, nor of one size, unless the device is asked for it.
  if (caps.kind != DeviceKind::cpu) GTEST_SKIP() << "for CPU implementations";
  constexpr auto kVariant = static_cast<uint16_t>(VariantId::gemm_matrix_small);
  gpu->stand_in(kVariant, {spirv::matrix_emulated_words, spirv::matrix_emulated_word_count});
  caps.features |= kCooperativeMatrix;
  caps.matrix_m = GetParam().m;
  caps.matrix_n = GetParam().n;
  caps.matrix_k = GetParam().k;
  for (const uint32_t columns : {40u, 136u}) {
    LinearCase c{.tokens = 29, .columns = columns, .rows = 73, .group_size = 32};
    c.bias = c.residual = columns == 136;
    SCOPED_TRACE(testing::PrintToString(c));
    Random random(columns);
    run_linear(gpu, caps, c, LinearData(random, c), "gemm_matrix_small");
  }
  gpu->stand_in(kVariant, {});
}

// No two sizes of one that could take each other's place. A driver takes long to compile one.
constexpr Shape kShapes[] = {{8, 16, 32}, {16, 8, 16}, {16, 16, 8}};
INSTANTIATE_TEST_SUITE_P(Some, MatrixShape, testing::ValuesIn(kShapes));

}  // namespace
}  // namespace nbl::test
