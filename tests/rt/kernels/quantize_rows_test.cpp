// What could break: the ends of a row found over lanes, an integer that is one off near a half, the
// special scales, rows that have no numbers, padding, rows past the live ones.
#include "rt/kernels/quantize_rows.h"

#include <gtest/gtest.h>

#include "tests/rt/kernels/quantize_rows_ref.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

struct Quantized {
  std::vector<uint32_t> rows, params;
};

std::vector<Caps> caps_to_try(const Gpu& gpu) {
  Caps wide = gpu.caps();
  wide.features &= ~uint32_t{kScalarLoads};
  return {gpu.caps(), wide, gpu.floor_of_caps()};
}

Quantized run(Gpu* gpu, const Caps& caps, const QuantizeRowsArgs& args, std::span<const float> x,
              uint32_t live, std::span<const float> weight = {}) {
  KernelCall call;
  EXPECT_TRUE(call_quantize_rows(caps, args, &call, nullptr).ok());
  const std::vector<uint32_t> step = step_words(0, live);
  const std::vector<uint32_t> x_words = activation_words(x, args.tokens, args.columns);
  const std::vector<uint32_t> weights =
      activation_words(weight, weight.empty() ? 0 : 1, args.columns);
  Quantized out;
  out.rows.assign(args.tokens * quantized_row_bytes(args.columns) / 4, kPoison);
  out.params.assign(args.tokens * kRowParamsBytes / 4, kPoison);
  EXPECT_EQ(gpu->run(call, {reads(step), reads(x_words), reads(args.norm ? weights : x_words),
                            writes(out.rows), writes(out.params)}),
            "");
  return out;
}

int8_t byte_at(const Quantized& out, uint32_t columns, uint32_t row, uint64_t i) {
  const uint64_t at = row * quantized_row_bytes(columns) + i;
  return static_cast<int8_t>(out.rows[at / 4] >> (8 * (at % 4)));
}

// Row `row` is that of the reference, to the bit.
void expect_row(const Quantized& out, uint32_t columns, uint32_t row,
                const QuantizedRow& expected) {
  EXPECT_EQ(out.params[row * 2], std::bit_cast<uint32_t>(expected.scale)) << "row " << row;
  EXPECT_EQ(static_cast<int32_t>(out.params[row * 2 + 1]), expected.zero) << "row " << row;
  for (uint32_t i = 0; i < columns; ++i) {
    ASSERT_EQ(byte_at(out, columns, row, i), expected.values[i])
        << "row " << row << " column " << i;
  }
  for (uint64_t i = columns; i < quantized_row_bytes(columns); ++i) {
    ASSERT_EQ(byte_at(out, columns, row, i), expected.zero) << "row " << row << " column " << i;
  }
}

void expect_rows(std::span<const float> x, uint32_t tokens, uint32_t columns) {
  Gpu* gpu = Gpu::instance();
  for (const Caps& caps : caps_to_try(*gpu)) {
    const QuantizeRowsArgs args{
        .tokens = tokens, .columns = columns, .norm = false, .last_row = false, .eps = 0};
    const Quantized out = run(gpu, caps, args, x, tokens);
    for (uint32_t t = 0; t < tokens; ++t) {
      expect_row(out, columns, t, quantize_row(x.subspan(size_t{t} * columns, columns)));
    }
  }
}

struct Shape {
  uint32_t tokens, columns;
};
void PrintTo(const Shape& s, std::ostream* out) {
  *out << "M" << s.tokens << " K" << s.columns;
}

class QuantizeRows : public testing::TestWithParam<Shape> {};

// Rows of every kind: around zero, off it, of one sign, of very different sizes.
TEST_P(QuantizeRows, are_those_of_the_rule_to_the_bit) {
  NBL_REQUIRE_GPU(gpu);
  const auto [tokens, columns] = GetParam();
  Random random(tokens * 31 + columns);
  std::vector<float> x = random.normals(size_t{tokens} * columns);
  for (uint32_t t = 0; t < tokens; ++t) {
    const float offset = t % 4 == 0 ? 0 : random.uniform(-4, 4);
    const float size = std::exp2(random.uniform(-20, 20));
    for (uint32_t i = 0; i < columns; ++i) {
      float& v = x[size_t{t} * columns + i];
      v = (t % 7 == 3 ? std::fabs(v) : v + offset) * size;
    }
  }
  expect_rows(x, tokens, columns);
}

// The published shapes of the system that this rule comes from, then odd ones.
INSTANTIATE_TEST_SUITE_P(Published, QuantizeRows,
                         testing::Values(Shape{4, 16}, Shape{8, 32}, Shape{16, 64}, Shape{32, 128},
                                         Shape{64, 256}, Shape{128, 512}, Shape{1, 512},
                                         Shape{256, 1024}, Shape{512, 2048}, Shape{1, 2048},
                                         Shape{1, 8096}));
INSTANTIATE_TEST_SUITE_P(Odd, QuantizeRows,
                         testing::Values(Shape{1, 1}, Shape{3, 2}, Shape{5, 3}, Shape{2, 31},
                                         Shape{7, 33}, Shape{3, 97}, Shape{2, 255}, Shape{2, 256},
                                         Shape{2, 257}, Shape{65, 172}, Shape{1, 16384}));

TEST(QuantizeRowsEdge, halves_go_to_the_even_integer) {
  NBL_REQUIRE_GPU(gpu);
  // Both ends at 127.5 make the scale 1, so that every k + 1/2 is a tie; so do 255 and 0 to -255,
  // whose zero points are at the ends, and the same times powers of two.
  for (const float power : {1.0f, 0x1p-13f, 0x1p40f}) {
    for (const float low : {-127.5f, 0.0f, -255.0f, -128.5f, -126.5f, -2.5f, -252.5f}) {
      std::vector<float> row;
      for (float v = low; v <= low + 255; v += 0.5f)
        row.push_back(v * power);
      expect_rows(row, 1, static_cast<uint32_t>(row.size()));
    }
  }
}

TEST(QuantizeRowsEdge, neighbours_of_a_half_go_to_their_own_side) {
  NBL_REQUIRE_GPU(gpu);
  Random random(77);
  for (uint32_t round = 0; round < 20; ++round) {
    const float range = std::exp2(random.uniform(-10, 10));
    const float low = -random.uniform(0, range), high = low + range;
    const double scale = static_cast<float>((static_cast<double>(high) - low) / 255);
    std::vector<float> row{low, high};
    for (double k = std::ceil(low / scale); k < high / scale - 1; ++k) {
      const auto middle = static_cast<float>((k + 0.5) * scale);
      for (const float v : {middle, std::nextafter(middle, low), std::nextafter(middle, high)}) {
        row.push_back(std::clamp(v, low, high));
      }
    }
    expect_rows(row, 1, static_cast<uint32_t>(row.size()));
  }
}

TEST(QuantizeRowsEdge, the_smallest_and_the_largest_rows_have_scales_too) {
  NBL_REQUIRE_GPU(gpu);
  constexpr uint32_t kColumns = 37;
  const std::vector<float> shape = Random(5).normals(kColumns);
  for (const float size :
       {0.0f, 1e-44f, 1e-38f, 1e-30f, 1e-20f, 1e-6f, 0.005f, 0.006f, 1e10f, 1e30f, 1e37f}) {
    std::vector<float> row = shape;
    for (float& v : row)
      v *= size;
    SCOPED_TRACE(size);
    expect_rows(row, 1, kColumns);
  }
  std::vector<float> widest = shape;
  widest[3] = std::numeric_limits<float>::max();
  widest[30] = -std::numeric_limits<float>::max();
  expect_rows(widest, 1, kColumns);
  widest[30] = 0;
  expect_rows(widest, 1, kColumns);
}

TEST(QuantizeRowsEdge, a_row_that_is_not_finite_has_no_scale_and_spoils_no_other) {
  NBL_REQUIRE_GPU(gpu);
  constexpr uint32_t kColumns = 300;
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    for (const uint32_t where : {0u, 1u, 7u, 150u, 299u}) {
      std::vector<float> x = Random(6).normals(3 * kColumns);
      x[kColumns + where] = bad;
      for (const Caps& caps : caps_to_try(*gpu)) {
        const QuantizeRowsArgs args{
            .tokens = 3, .columns = kColumns, .norm = false, .last_row = false, .eps = 0};
        const Quantized out = run(gpu, caps, args, x, 3);
        for (const uint32_t t : {0u, 2u}) {
          expect_row(out, kColumns, t, quantize_row(std::span(x).subspan(t * kColumns, kColumns)));
        }
        EXPECT_TRUE(std::isnan(std::bit_cast<float>(out.params[2])));
        EXPECT_EQ(out.params[3], 0u);
        for (uint64_t i = 0; i < quantized_row_bytes(kColumns); ++i)
          ASSERT_EQ(byte_at(out, kColumns, 1, i), 0);
      }
    }
  }
}

// The norm is computed in float32: an integer may be the neighbour of the reference's where its
// quotient is within 1e-4 of the middle, far more than 255 times the norm's error of 2^-22.
TEST(QuantizeRowsNorm, comes_first) {
  NBL_REQUIRE_GPU(gpu);
  constexpr double kNearMiddle = 1e-4;
  for (const uint32_t columns : {1u, 33u, 64u, 100u, 288u, 577u, 2048u}) {
    constexpr uint32_t kTokens = 3;
    constexpr float kEps = 1e-5f;
    Random random(columns);
    const std::vector<float> x = random.normals(size_t{kTokens} * columns);
    const std::vector<float> weight = random.normals(columns);
    for (const Caps& caps : caps_to_try(*gpu)) {
      const QuantizeRowsArgs args{
          .tokens = kTokens, .columns = columns, .norm = true, .last_row = false, .eps = kEps};
      const Quantized out = run(gpu, caps, args, x, kTokens, weight);
      for (uint32_t t = 0; t < kTokens; ++t) {
        double squares = 0;
        for (uint32_t i = 0; i < columns; ++i)
          squares += std::pow(x[t * columns + i], 2.0);
        const double factor = 1 / std::sqrt(squares / columns + static_cast<double>(kEps));
        std::vector<float> row(columns);
        for (uint32_t i = 0; i < columns; ++i)
          row[i] = static_cast<float>(x[t * columns + i] * factor * weight[i]);
        const QuantizedRow expected = quantize_row(row);
        const auto scale = std::bit_cast<float>(out.params[t * 2]);
        EXPECT_NEAR(scale / expected.scale, 1, 1e-6);
        const auto zero = static_cast<int32_t>(out.params[t * 2 + 1]);
        EXPECT_LE(std::abs(zero - expected.zero), 1);
        for (uint32_t i = 0; i < columns; ++i) {
          const double quotient = static_cast<double>(row[i]) / static_cast<double>(expected.scale);
          const double off = std::fabs(quotient - std::floor(quotient) - 0.5);
          const int steps = byte_at(out, columns, t, i) - zero;
          const int wanted = expected.values[i] - expected.zero;
          // The ends of a row lose a step where the other zero point was nearer.
          const bool end = std::abs(byte_at(out, columns, t, i)) >= 127;
          if (off < kNearMiddle || end) {
            EXPECT_LE(std::abs(steps - wanted), 1);
          } else {
            EXPECT_EQ(steps, wanted) << "column " << i << " of " << columns;
          }
        }
      }
    }
  }
}

TEST(QuantizeRowsSteps, only_live_rows_are_written) {
  NBL_REQUIRE_GPU(gpu);
  constexpr uint32_t kTokens = 9, kColumns = 70;
  const std::vector<float> x = Random(8).normals(kTokens * kColumns);
  for (const bool last_row : {false, true}) {
    for (const uint32_t live : {0u, 1u, 6u, 9u}) {
      for (const Caps& caps : caps_to_try(*gpu)) {
        const QuantizeRowsArgs args{
            .tokens = kTokens, .columns = kColumns, .norm = false, .last_row = last_row, .eps = 0};
        const Quantized out = run(gpu, caps, args, x, live);
        for (uint32_t t = 0; t < kTokens; ++t) {
          if (last_row ? t + 1 == live : t < live) {
            expect_row(out, kColumns, t,
                       quantize_row(std::span(x).subspan(t * kColumns, kColumns)));
            continue;
          }
          for (uint64_t i = 0; i < quantized_row_bytes(kColumns) / 4; ++i)
            ASSERT_EQ(out.rows[t * quantized_row_bytes(kColumns) / 4 + i], kPoison);
          EXPECT_EQ(out.params[t * 2], kPoison);
        }
      }
    }
  }
}

}  // namespace
}  // namespace nbl::test
