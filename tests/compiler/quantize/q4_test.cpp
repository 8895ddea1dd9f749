// Breaks if a weight lands in another place of q4_t16k8, a scale is a bad one, or Q4_0 is not taken
// over bit for bit.
#include "compiler/quantize/q4.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "compiler/import/half.h"
#include "rt/model/model.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/q4.h"
#include "tests/support/random.h"

namespace {

using nbl::compiler::ImportError;
using nbl::compiler::Q4Error;
using nbl::compiler::quantize_q4;
using nbl::compiler::RowSource;
using nbl::compiler::source_rows;
using nbl::compiler::SourceTensor;
using nbl::compiler::SourceType;
using nbl::test::encode_tensor;
using nbl::test::Random;
using Matrix = nbl::compiler::Q4Matrix;

SourceTensor tensor_over(const std::string& bytes, SourceType type, uint64_t rows, uint64_t columns,
                         const char* name = "blk.0.test.weight") {
  return {name, type, rows, columns, reinterpret_cast<const std::byte*>(bytes.data())};
}

// A matrix in float32 that owns its values.
RowSource float_rows(uint32_t rows, uint32_t columns, std::vector<float> values) {
  RowSource source;
  source.rows = rows;
  source.columns = columns;
  source.read = [columns, values](uint32_t row, float* out) {
    std::memcpy(out, &values[size_t{row} * columns], columns * sizeof(float));
  };
  source.describe = [](uint32_t row) { return "test row " + std::to_string(row); };
  return source;
}

// The packed form that the independent packer of tests/support/q4.h gives for the same values.
nbl::test::Q4Matrix repacked(const Matrix& matrix) {
  nbl::test::Q4Matrix m{};
  m.rows = matrix.rows;
  m.columns = matrix.columns;
  m.group_size = matrix.format.group_size;
  m.padded_rows = nbl::q4_padded_rows(m.rows);
  m.padded_columns = nbl::q4_padded_columns(m.columns, m.group_size);
  const uint32_t groups = m.padded_columns / m.group_size;
  m.values.assign(size_t{m.padded_rows} * m.padded_columns, 0);
  m.scales.assign(size_t{m.padded_rows} * groups, 0);
  std::vector<float> row(m.columns);
  for (uint32_t n = 0; n < m.rows; ++n) {
    nbl::compiler::unpack_q4_row(matrix, n, row.data());
    for (uint32_t g = 0; g < groups; ++g) {
      m.scales[size_t{n} * groups + g] = matrix.scales[(size_t{n / 16} * groups + g) * 16 + n % 16];
    }
    for (uint32_t k = 0; k < m.columns; ++k) {
      const float scale = nbl::test::f16_to_f32(m.scale(n, k / m.group_size));
      const float value = scale == 0 ? 0 : row[k] / scale;
      m.values[size_t{n} * m.padded_columns + k] = static_cast<int8_t>(std::lrint(value));
    }
  }
  pack(&m);
  return m;
}

void expect_layout(const Matrix& matrix) {
  const nbl::test::Q4Matrix expected = repacked(matrix);
  EXPECT_EQ(matrix.words, expected.value_words);
  ASSERT_EQ(matrix.scales.size() * 2, expected.scale_words.size() * 4);
  EXPECT_EQ(
      std::memcmp(matrix.scales.data(), expected.scale_words.data(), matrix.scales.size() * 2), 0);
}

TEST(Half, agrees_with_the_definition_for_every_pattern) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = nbl::compiler::f16_to_f32(half);
    const float expected = nbl::test::f16_to_f32(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected)) << bits;
    ASSERT_EQ(nbl::compiler::f32_to_f16(value), half) << bits;
    // Between this pattern and the next: the middle goes to the even one, its neighbours do not.
    if ((bits & 0x7fff) >= 0x7bff) continue;
    const float next = nbl::test::f16_to_f32(static_cast<uint16_t>(bits + 1));
    const float middle = value + (next - value) / 2;
    const uint16_t even = static_cast<uint16_t>(bits + (bits & 1));
    ASSERT_EQ(nbl::compiler::f32_to_f16(middle), even) << bits;
    ASSERT_EQ(nbl::compiler::f32_to_f16(std::nextafter(middle, value)), half) << bits;
    ASSERT_EQ(nbl::compiler::f32_to_f16(std::nextafter(middle, next)), bits + 1) << bits;
  }
  EXPECT_EQ(nbl::compiler::f32_to_f16(65519.99f), 0x7bff);
  EXPECT_EQ(nbl::compiler::f32_to_f16(-65520.0f), 0xfc00);
  EXPECT_EQ(nbl::compiler::f32_to_f16(INFINITY), 0x7c00);
  EXPECT_EQ(nbl::compiler::f32_to_f16(1e-30f), 0);
}

TEST(Q4, places_every_weight_where_the_layout_says) {
  Random random(1);
  const std::pair<uint32_t, uint32_t> shapes[] = {{1, 1},   {15, 33},  {16, 8},  {17, 257},
                                                  {32, 64}, {33, 300}, {47, 129}};
  for (const auto& [rows, columns] : shapes) {
    for (const uint32_t group_size : {32u, 64u, 128u, 256u}) {
      const Matrix matrix = quantize_q4(
          float_rows(rows, columns, random.normals(size_t{rows} * columns)), group_size);
      EXPECT_EQ(matrix.words.size() * 4, nbl::q4_data_bytes(rows, columns, group_size));
      EXPECT_EQ(matrix.scales.size() * 2, nbl::q4_scale_bytes(rows, columns, group_size));
      expect_layout(matrix);
    }
  }
}

TEST(Q4, keeps_values_that_four_bits_can_hold) {
  Random random(2);
  std::vector<float> values;
  for (int i = 0; i < 64 * 96; ++i)
    values.push_back((random.uniform(0, 1) < 0.5f ? -8 : 7) * 0.125f);
  for (int i = 0; i < 64 * 96; i += 3)
    values[i] = 0.125f * (static_cast<float>(random.below(16)) - 8);
  Q4Error error;
  const Matrix matrix = quantize_q4(float_rows(64, 96, values), 32, &error);
  EXPECT_EQ(error.relative_rms(), 0);
  std::vector<float> row(96);
  for (uint32_t r = 0; r < 64; ++r) {
    nbl::compiler::unpack_q4_row(matrix, r, row.data());
    for (uint32_t c = 0; c < 96; ++c)
      ASSERT_EQ(row[c], values[r * 96 + c]) << r << "," << c;
  }
}

// The plain scale: extreme / -8, rounded to f16; nearest values.
double plain_error(const float* group, uint32_t count) {
  float extreme = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (std::fabs(group[i]) > std::fabs(extreme)) extreme = group[i];
  }
  const double scale = nbl::test::f16_to_f32(nbl::test::f32_to_f16(extreme / -8.0f));
  double sum = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const double value =
        scale == 0 ? 0
                   : std::clamp(std::nearbyint(static_cast<double>(group[i]) / scale), -8.0, 7.0);
    sum += std::pow(static_cast<double>(group[i]) - value * scale, 2);
  }
  return sum;
}

// The best scale that a fine scan of both signs finds.
double scanned_error(const float* group, uint32_t count) {
  float largest = 0;
  for (uint32_t i = 0; i < count; ++i)
    largest = std::max(largest, std::fabs(group[i]));
  double best = INFINITY;
  for (double target = 5; target < 14; target += 0.01) {
    for (const double sign : {-1.0, 1.0}) {
      const double scale = sign * static_cast<double>(largest) / target;
      double sum = 0;
      for (uint32_t i = 0; i < count; ++i) {
        const double value =
            std::clamp(std::nearbyint(static_cast<double>(group[i]) / scale), -8.0, 7.0);
        sum += std::pow(static_cast<double>(group[i]) - value * scale, 2);
      }
      best = std::min(best, sum);
    }
  }
  return best;
}

TEST(Q4, finds_scales_near_the_best_and_never_worse_than_the_plain_one) {
  for (const uint32_t count : {32u, 64u, 128u, 256u}) {
    Random random(count);
    double found_sum = 0, best_sum = 0, plain_sum = 0;
    for (int trial = 0; trial < 40; ++trial) {
      const std::vector<float> group = random.normals(count);
      std::vector<uint8_t> nibbles(count);
      const uint16_t half = nbl::compiler::quantize_group(group.data(), count, nibbles.data());
      const double scale = nbl::test::f16_to_f32(half);
      double error = 0;
      for (uint32_t i = 0; i < count; ++i) {
        error += std::pow(static_cast<double>(group[i]) - (nibbles[i] - 8) * scale, 2);
      }
      const double plain = plain_error(group.data(), count);
      EXPECT_LE(error, plain * (1 + 1e-5)) << "trial " << trial;
      found_sum += error;
      plain_sum += plain;
      best_sum += scanned_error(group.data(), count);
    }
    // Squared errors: 1.02 is 1 % of the error itself, over the 0.4 % measured where the targets
    // are listed for the spread of 40 groups.
    EXPECT_LT(found_sum, 1.02 * best_sum) << count;
    EXPECT_LT(found_sum, 0.95 * plain_sum) << count;
  }
}

TEST(Q4, reports_the_error_it_made) {
  Random random(5);
  const std::vector<float> values = random.normals(50 * 200);
  Q4Error error;
  const Matrix matrix = quantize_q4(float_rows(50, 200, values), 64, &error);
  double difference = 0, norm = 0;
  std::vector<float> row(200);
  for (uint32_t r = 0; r < 50; ++r) {
    nbl::compiler::unpack_q4_row(matrix, r, row.data());
    for (uint32_t c = 0; c < 200; ++c) {
      difference += std::pow(static_cast<double>(values[r * 200 + c] - row[c]), 2);
      norm += std::pow(static_cast<double>(values[r * 200 + c]), 2);
    }
  }
  EXPECT_NEAR(error.relative_rms(), std::sqrt(difference / norm), 1e-5);
  EXPECT_LT(error.relative_rms(), 0.11);
  EXPECT_EQ(error.quantized_rows, 50u);
  EXPECT_EQ(error.lossless_rows, 0u);
}

TEST(Q4, takes_q4_0_over_bit_for_bit) {
  Random random(6);
  const uint32_t rows = 37, columns = 160;
  std::string bytes;
  for (uint32_t block = 0; block < rows * columns / 32; ++block) {
    const uint16_t scale = static_cast<uint16_t>(random.below(2) << 15 | random.below(0x7c00));
    bytes.append(reinterpret_cast<const char*>(&scale), 2);
    for (int i = 0; i < 16; ++i)
      bytes += static_cast<char>(random.below(256));
  }
  Q4Error error;
  const SourceTensor tensor = tensor_over(bytes, SourceType::q4_0, rows, columns);
  const Matrix matrix = quantize_q4(source_rows(tensor), 32, &error);
  EXPECT_EQ(error.lossless_rows, rows);
  EXPECT_EQ(error.quantized_rows, 0u);
  for (uint32_t n = 0; n < rows; ++n) {
    for (uint32_t k = 0; k < columns; ++k) {
      const uint8_t* block =
          reinterpret_cast<const uint8_t*>(bytes.data()) + (n * (columns / 32) + k / 32) * 18;
      const uint8_t byte = block[2 + k % 16];
      const uint32_t nibble = k % 32 < 16 ? byte & 15 : byte >> 4;
      const uint32_t word = matrix.words[(size_t{n / 16} * (columns / 8) + k / 8) * 16 + n % 16];
      ASSERT_EQ(word >> (8 * (k % 4) + (k % 8 >= 4 ? 4 : 0)) & 15, nibble) << n << "," << k;
      uint16_t scale = 0;
      std::memcpy(&scale, block, 2);
      ASSERT_EQ(matrix.scales[(size_t{n / 16} * (columns / 32) + k / 32) * 16 + n % 16], scale);
    }
  }
  // Padding rows: nothing but nibble 8 and scale 0.
  for (uint32_t n = rows; n < 64; ++n) {
    for (uint32_t k = 0; k < columns; k += 8) {
      ASSERT_EQ(matrix.words[(size_t{n / 16} * (columns / 8) + k / 8) * 16 + n % 16], 0x88888888u);
      ASSERT_EQ(matrix.scales[(size_t{n / 16} * (columns / 32) + k / 32) * 16 + n % 16], 0);
    }
  }
}

TEST(Q4, quantizes_q4_0_anew_for_larger_groups) {
  std::vector<float> values = Random(7).normals(3 * 128);
  const std::string bytes = encode_tensor(SourceType::q4_0, 128, &values);
  Q4Error error;
  const SourceTensor tensor = tensor_over(bytes, SourceType::q4_0, 3, 128);
  expect_layout(quantize_q4(source_rows(tensor), 64, &error));
  EXPECT_EQ(error.quantized_rows, 3u);
  EXPECT_LT(error.relative_rms(), 0.15);
}

TEST(Q4, gives_the_same_bits_with_any_number_of_threads) {
  Random random(8);
  const RowSource source = float_rows(333, 70, random.normals(333 * 70));
  Q4Error first_error, error;
  const Matrix first = quantize_q4(source, 32, &first_error, 1);
  for (const uint32_t threads : {0u, 2u, 5u, 64u}) {
    const Matrix matrix = quantize_q4(source, 32, &error, threads);
    EXPECT_EQ(matrix.words, first.words);
    EXPECT_EQ(matrix.scales, first.scales);
    EXPECT_EQ(error.error_squares, first_error.error_squares);
    EXPECT_EQ(error.weight_squares, first_error.weight_squares);
  }
}

TEST(Q4, gives_zeros_the_scale_0_and_keeps_tiny_weights_finite) {
  std::vector<float> values(32 * 4, 0.0f);
  values[32] = 1e-40f;        // below any f16 scale
  values[64] = -0x1p-21f;     // representable with a subnormal scale only
  values[96] = 8 * 65504.0f;  // the largest
  const Matrix matrix = quantize_q4(float_rows(1, 128, values), 32);
  EXPECT_EQ(matrix.scales[0], 0);
  EXPECT_EQ(matrix.scales[16], 0);
  EXPECT_NE(matrix.scales[32], 0);
  std::vector<float> row(128);
  nbl::compiler::unpack_q4_row(matrix, 0, row.data());
  EXPECT_EQ(row[0], 0);
  EXPECT_EQ(row[32], 0);
  EXPECT_EQ(row[64], -0x1p-21f);
  EXPECT_EQ(row[96], 8 * 65504.0f);
  EXPECT_EQ(row[97], 0);
}

std::string quantize_error(const RowSource& source, uint32_t threads = 0) {
  try {
    quantize_q4(source, 32, nullptr, threads);
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

TEST(Q4, refuses_weights_that_are_not_finite_or_too_large) {
  for (const float bad : {NAN, -NAN, INFINITY, -INFINITY, 530000.0f}) {
    std::vector<float> values = Random(9).normals(40 * 70);
    values[33 * 70 + 69] = bad;
    values[38 * 70] = bad;  // a later row: not the one to name
    const std::string bytes = encode_tensor(SourceType::f32, 70, &values);
    const SourceTensor tensor = tensor_over(bytes, SourceType::f32, 40, 70);
    for (const uint32_t threads : {1u, 4u}) {
      const std::string error = quantize_error(source_rows(tensor), threads);
      EXPECT_NE(error.find("tensor blk.0.test.weight, row 33"), std::string::npos) << error;
      EXPECT_NE(error.find("column 69"), std::string::npos) << error;
    }
  }
}

TEST(Q4, refuses_q4_0_scales_that_are_not_finite) {
  for (const uint16_t bad : {0x7c00, 0xfc00, 0x7e00}) {
    std::vector<float> values = Random(10).normals(2 * 64);
    std::string bytes = encode_tensor(SourceType::q4_0, 64, &values);
    std::memcpy(bytes.data() + 3 * 18, &bad, 2);
    const std::string error =
        quantize_error(source_rows(tensor_over(bytes, SourceType::q4_0, 2, 64)));
    EXPECT_NE(error.find("row 1"), std::string::npos) << error;
    EXPECT_NE(error.find("block 1"), std::string::npos) << error;
  }
}

TEST(Q4, refuses_other_group_sizes) {
  const RowSource source = float_rows(1, 32, std::vector<float>(32));
  for (const uint32_t group_size : {0u, 1u, 4u, 33u, 100u, 4104u}) {
    EXPECT_THROW(quantize_q4(source, group_size), std::invalid_argument);
  }
}

}  // namespace
