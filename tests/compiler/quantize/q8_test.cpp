// Could break: a byte in the wrong place, an offset that is not 128, or weights that are whole
// numbers in the checkpoint and are rounded a second time.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compiler/import/half.h"
#include "compiler/quantize/q4.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/q4_rows.h"
#include "tests/support/random.h"

namespace nbl::compiler {
namespace {

using test::Random;

constexpr QuantizeOptions kEight = {.layout = Layout::q8_t16k4};
constexpr SourceType kIntegers[] = {SourceType::q8_0, SourceType::q4_0, SourceType::q5_0,
                                    SourceType::q3_k, SourceType::q6_k, SourceType::iq4_nl};

struct Encoded {
  Encoded(const char* name, SourceType type, uint32_t rows, uint32_t columns, uint64_t seed)
      : values(Random(seed).normals(size_t{rows} * columns)),
        bytes(test::encode_tensor(type, columns, &values)),
        tensor{.name = name,
               .type = type,
               .rows = rows,
               .columns = columns,
               .data = reinterpret_cast<const std::byte*>(bytes.data())} {}
  std::vector<float> values;  // exact
  std::string bytes;
  SourceTensor tensor;
};

std::vector<float> unpacked(const Q4Matrix& matrix) {
  std::vector<float> values(size_t{matrix.rows} * matrix.columns);
  for (uint32_t n = 0; n < matrix.rows; ++n)
    unpack_q4_row(matrix, n, &values[size_t{n} * matrix.columns]);
  return values;
}

// The layout written down a second time.
float value_at(const Q4Matrix& m, uint32_t n, uint32_t k) {
  const uint32_t columns = m.format.columns(m.columns);
  const uint32_t word = m.words[(size_t{n / 16} * (columns / 4) + k / 4) * 16 + n % 16];
  const int code = static_cast<int>(word >> (8 * (k % 4)) & 255);
  const size_t at =
      (size_t{n / 16} * (columns / m.format.group_size) + k / m.format.group_size) * 16 + n % 16;
  return static_cast<float>(code - 128) *
         (m.format.f32_scales ? m.float_scales[at] : f16_to_f32(m.scales[at]));
}

TEST(Q8, places_every_weight_where_the_layout_says) {
  for (const auto& [rows, columns] :
       {std::pair(1u, 1u), std::pair(17u, 257u), std::pair(33u, 300u), std::pair(47u, 129u)}) {
    for (const uint32_t group_size : {8u, 32u, 256u}) {
      Encoded e("w", SourceType::f32, rows, columns, rows + columns);
      Q4Error error;
      const Q4Matrix m = quantize_q4(source_rows(e.tensor), group_size, &error, 0, kEight);
      EXPECT_EQ(m.words.size() * 4, m.format.data_bytes(rows, columns));
      EXPECT_EQ(m.scales.size() * 2, m.format.scale_bytes(rows, columns));
      EXPECT_LT(error.relative_rms(), 0.011);
      const std::vector<float> values = unpacked(m);
      for (uint32_t n = 0; n < rows; ++n) {
        for (uint32_t k = 0; k < columns; ++k)
          ASSERT_EQ(values[size_t{n} * columns + k], value_at(m, n, k)) << n << "," << k;
      }
      const uint32_t padded = m.format.columns(columns);
      for (uint32_t n = rows; n < m.format.rows(rows); ++n) {
        for (uint32_t k = 0; k < padded; ++k)
          ASSERT_EQ(value_at(m, n, k), 0.0f);
      }
      for (uint32_t n = 0; n < rows; ++n) {
        for (uint32_t k = columns; k < padded; ++k)
          ASSERT_EQ(value_at(m, n, k), 0.0f);
      }
    }
  }
}

TEST(Q8, rounds_every_weight_to_the_nearest_step) {
  Encoded e("w", SourceType::f32, 40, 96, 3);
  for (const Quantizer quantizer : {Quantizer::rtn, Quantizer::search}) {
    const Q4Matrix m = quantize_q4(source_rows(e.tensor), 32, nullptr, 0,
                                   {.layout = Layout::q8_t16k4, .quantizer = quantizer});
    const std::vector<float> values = unpacked(m);
    for (size_t i = 0; i < values.size(); ++i) {
      float most = 0;
      for (size_t k = i / 32 * 32; k < i / 32 * 32 + 32; ++k)
        most = std::max(most, std::fabs(e.values[k]));
      // Half a step, one step at the end of the range, of the largest that a search takes.
      ASSERT_NEAR(values[i], e.values[i], most / 126 * (quantizer == Quantizer::rtn ? 1 : 1.5));
    }
  }
}

TEST(Q8, takes_whole_numbers_of_the_source_over_bit_for_bit) {
  for (const SourceType type : kIntegers) {
    SCOPED_TRACE(source_type_name(type));
    Encoded e("w", type, 37, 512, 5);
    for (const uint32_t group_size : {32u, 128u}) {
      Q4Error error;
      const Q4Matrix m = quantize_q4(source_rows(e.tensor), group_size, &error, 0, kEight);
      EXPECT_EQ(error.lossless_rows, 37u);
      EXPECT_EQ(error.quantized_rows, 0u);
      EXPECT_EQ(unpacked(m), e.values);
      const bool f16 = has_f16_scales(type);
      EXPECT_EQ(m.format.f32_scales, !f16);
      EXPECT_EQ(m.format.group_size, f16 ? 32u : 16u);
    }
  }
}

TEST(Q8, has_the_very_bytes_and_scales_of_q8_0) {
  Encoded e("w", SourceType::q8_0, 19, 96, 6);
  const Q4Matrix m = quantize_q4(source_rows(e.tensor), 64, nullptr, 0, kEight);
  for (uint32_t n = 0; n < 19; ++n) {
    for (uint32_t k = 0; k < 96; ++k) {
      const char* block = e.bytes.data() + (n * 3 + k / 32) * 34;
      const uint32_t word = m.words[(size_t{n / 16} * 24 + k / 4) * 16 + n % 16];
      ASSERT_EQ(static_cast<int>(word >> (8 * (k % 4)) & 255) - 128,
                static_cast<int8_t>(block[2 + k % 32]));
      uint16_t scale = 0;
      std::memcpy(&scale, block, 2);
      ASSERT_EQ(m.scales[(size_t{n / 16} * 3 + k / 32) * 16 + n % 16], scale);
    }
  }
}

// Stacked, as a fused weight is: one group size and one type of scales for all.
TEST(Q8, takes_rows_of_several_grids_over_into_one_matrix) {
  Encoded a("a", SourceType::q8_0, 5, 256, 7), b("b", SourceType::q6_k, 7, 256, 8);
  const auto packed = test::random_rows(9, 3, 256, 8);
  const RowSource all =
      concatenate({source_rows(a.tensor), source_rows(b.tensor), quantized_rows(packed)});
  Q4Error error;
  const Q4Matrix m = quantize_q4(all, 32, &error, 0, kEight);
  EXPECT_EQ(error.lossless_rows, 15u);
  EXPECT_EQ(m.format.group_size, 8u);
  EXPECT_TRUE(m.format.f32_scales);
  const std::vector<float> values = unpacked(m);
  for (uint32_t n = 0; n < 15; ++n) {
    std::vector<float> want(256);
    all.read(n, want.data());
    EXPECT_EQ(std::vector<float>(&values[n * 256], &values[n * 256] + 256), want) << n;
  }
}

TEST(Q8, quantizes_only_the_rows_that_are_no_whole_numbers) {
  Encoded a("a", SourceType::q8_0, 5, 256, 7), b("b", SourceType::f16, 7, 256, 8);
  const RowSource all = concatenate({source_rows(a.tensor), source_rows(b.tensor)});
  Q4Error error;
  const Q4Matrix m = quantize_q4(all, 128, &error, 0, kEight);
  EXPECT_EQ(error.lossless_rows, 5u);
  EXPECT_EQ(error.quantized_rows, 7u);
  EXPECT_EQ(m.format.group_size, 32u);
  const std::vector<float> values = unpacked(m);
  EXPECT_TRUE(std::equal(a.values.begin(), a.values.end(), values.begin()));
}

TEST(Q8, refuses_scales_that_are_not_finite) {
  for (const SourceType type : {SourceType::q8_0, SourceType::q6_k}) {
    Encoded e("w", type, 2, 512, 10);
    const uint16_t infinite = 0x7c00;
    const size_t at = type == SourceType::q8_0 ? 34 * 17 : 210 * 2 + 208;
    std::memcpy(e.bytes.data() + at, &infinite, 2);
    try {
      quantize_q4(source_rows(e.tensor), 32, nullptr, 0, kEight);
      ADD_FAILURE() << "it was taken";
    } catch (const ImportError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("tensor w, row 1: the "), std::string::npos) << text;
      EXPECT_NE(text.find("it must be finite"), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
