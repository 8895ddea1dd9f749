// Could break: perplexity is measured with another rounding than the device's.
#include "compiler/eval/int8_rows.h"

#include <gtest/gtest.h>

#include "tests/rt/kernels/quantize_rows_ref.h"
#include "tests/support/random.h"

namespace nbl::compiler {
namespace {

TEST(Int8Rows, are_those_of_the_kernels) {
  constexpr size_t kColumns = 97, kRows = 12;
  test::Random random(4);
  std::vector<float> x = random.normals(kColumns * kRows);
  for (size_t row = 0; row < kRows; ++row) {
    const float offset = row % 3 == 0 ? 0 : random.uniform(-5, 5);
    const float size = row == 7 ? 0 : row == 8 ? 1e-5f : random.uniform(0.1f, 100);
    for (size_t i = 0; i < kColumns; ++i) {
      float& v = x[row * kColumns + i];
      v = (row == 9 ? std::fabs(v) : v + offset) * size;
    }
  }
  std::vector<float> rounded = x;
  round_rows_to_int8(&rounded, kColumns);
  for (size_t row = 0; row < kRows; ++row) {
    const std::span<const float> before = std::span(x).subspan(row * kColumns, kColumns);
    const test::QuantizedRow expected = test::quantize_row(before);
    for (size_t i = 0; i < kColumns; ++i) {
      const float wanted = expected.scale * static_cast<float>(expected.values[i] - expected.zero);
      EXPECT_NEAR(rounded[row * kColumns + i], wanted, 1e-6f * std::fabs(wanted) + 1e-30f)
          << "row " << row << " column " << i;
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
