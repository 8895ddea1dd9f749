// Could break: a search that is worse than what it searches for, or an importance that is read for
// another column.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "compiler/graph/constant.h"
#include "compiler/import/half.h"
#include "compiler/quantize/q4.h"
#include "tests/support/random.h"

namespace nbl::compiler {
namespace {

using test::Random;

RowSource rows_of(uint32_t rows, uint32_t columns, std::vector<float> values,
                  std::vector<float> importance = {}) {
  RowSource source;
  source.rows = rows;
  source.columns = columns;
  source.read = [=](uint32_t row, float* out) {
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(size_t{row} * columns), columns, out);
  };
  source.describe = [](uint32_t row) { return "row " + std::to_string(row); };
  if (!importance.empty()) source.importance = [=](uint32_t) { return importance.data(); };
  return source;
}

// The sum of importance * error^2, from what the matrix unpacks to.
double error_of(const Q4Matrix& matrix, const std::vector<float>& values,
                const std::vector<float>& importance) {
  double sum = 0;
  std::vector<float> row(matrix.columns);
  for (uint32_t n = 0; n < matrix.rows; ++n) {
    unpack_q4_row(matrix, n, row.data());
    for (uint32_t k = 0; k < matrix.columns; ++k) {
      const double error =
          static_cast<double>(values[size_t{n} * matrix.columns + k]) - static_cast<double>(row[k]);
      sum += static_cast<double>(importance[k]) * error * error;
    }
  }
  return sum;
}

// A few columns that matter a thousand times as much as others, as activations have them.
std::vector<float> uneven(uint32_t columns) {
  Random random(columns);
  std::vector<float> importance(columns);
  for (float& value : importance)
    value = random.below(16) == 0 ? 30.0f : random.uniform(0.03f, 1.0f);
  return importance;
}

TEST(Quantizer, rtn_puts_the_largest_weight_at_the_end_of_the_range) {
  const std::vector<float> values = Random(1).normals(64 * 32);
  const Q4Matrix m =
      quantize_q4(rows_of(64, 32, values), 32, nullptr, 0, {.quantizer = Quantizer::rtn});
  std::vector<float> row(32);
  for (uint32_t n = 0; n < 64; ++n) {
    const float* from = &values[n * 32];
    const float extreme = *std::max_element(
        from, from + 32, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    const float scale = f16_to_f32(f32_to_f16(extreme / -8));
    unpack_q4_row(m, n, row.data());
    for (uint32_t k = 0; k < 32; ++k) {
      const float steps = std::clamp(std::nearbyint(from[k] / scale), -8.0f, 7.0f);
      // 1 / scale is rounded: at a half the other neighbour is as good.
      if (std::fabs(std::fabs(from[k] / scale - steps) - 0.5f) < 1e-4f) continue;
      ASSERT_EQ(row[k], steps * scale) << n << "," << k;
    }
  }
}

TEST(Quantizer, a_search_leaves_less_error_than_rtn_in_every_group) {
  const std::vector<float> even(32, 1.0f);
  for (const bool eight : {false, true}) {
    const Layout layout = eight ? Layout::q8_t16k4 : Layout::q4_t16k8;
    double sums[2] = {};
    for (uint64_t seed = 1; seed < 200; ++seed) {
      const std::vector<float> values = Random(seed).normals(32);
      double errors[2];
      for (const Quantizer quantizer : {Quantizer::rtn, Quantizer::search}) {
        const Q4Matrix m = quantize_q4(rows_of(1, 32, values), 32, nullptr, 0,
                                       {.layout = layout, .quantizer = quantizer});
        errors[static_cast<size_t>(quantizer)] = error_of(m, values, even);
        sums[static_cast<size_t>(quantizer)] += errors[static_cast<size_t>(quantizer)];
      }
      EXPECT_LE(errors[1], errors[0] * (1 + 1e-5)) << seed;
    }
    EXPECT_LT(sums[1], 0.95 * sums[0]);
  }
}

TEST(Quantizer, importance_moves_error_to_where_it_matters_less) {
  for (const uint32_t columns : {96u, 100u}) {
    const std::vector<float> values = Random(7).normals(size_t{50} * columns);
    const std::vector<float> importance = uneven(columns), even(columns, 1.0f);
    Q4Error error, plain_error;
    const Q4Matrix plain = quantize_q4(rows_of(50, columns, values), 32, &plain_error);
    const Q4Matrix weighted = quantize_q4(rows_of(50, columns, values, importance), 32, &error);
    EXPECT_LT(error_of(weighted, values, importance), 0.9 * error_of(plain, values, importance));
    EXPECT_GT(error_of(weighted, values, even), error_of(plain, values, even));
    // What is reported is what was measured here.
    EXPECT_NEAR(error.important_error_squares / error_of(weighted, values, importance), 1, 1e-4);
    EXPECT_NEAR(error.error_squares / error_of(weighted, values, even), 1, 1e-4);
    EXPECT_GT(error.important_rms(), 0);
    EXPECT_EQ(plain_error.important_rms(), 0);
  }
}

TEST(Quantizer, equal_importance_changes_nothing) {
  const std::vector<float> values = Random(8).normals(20 * 70);
  const Q4Matrix plain = quantize_q4(rows_of(20, 70, values), 32);
  const Q4Matrix even = quantize_q4(rows_of(20, 70, values, std::vector<float>(70, 1.0f)), 32);
  EXPECT_EQ(plain.words, even.words);
  EXPECT_EQ(plain.scales, even.scales);
}

// Stacked and interleaved, each row keeps that of its part.
TEST(Quantizer, importance_follows_rows_into_fused_matrices) {
  const std::vector<float> a = Random(9).normals(32 * 64), b = Random(10).normals(32 * 64);
  const std::vector<float> importance = uneven(64);
  const RowSource with = rows_of(32, 64, a, importance), without = rows_of(32, 64, b);
  const Q4Matrix alone = quantize_q4(with, 32), other = quantize_q4(without, 32);
  const Q4Matrix stacked = quantize_q4(concatenate({with, without}), 32);
  const Q4Matrix in_turn = quantize_q4(interleave(with, without), 32);
  std::vector<float> want(64), got(64);
  for (uint32_t n = 0; n < 32; ++n) {
    for (const bool first : {true, false}) {
      unpack_q4_row(first ? alone : other, n, want.data());
      unpack_q4_row(stacked, first ? n : 32 + n, got.data());
      EXPECT_EQ(got, want) << n;
      unpack_q4_row(in_turn, first ? 2 * n : 2 * n + 1, got.data());
      EXPECT_EQ(got, want) << n;
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
