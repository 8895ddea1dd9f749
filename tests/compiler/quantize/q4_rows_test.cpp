// Breaks if a weight that arrives quantized changes a nibble or a scale on its way into a file.
#include "compiler/quantize/q4_rows.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compiler/graph/constant.h"
#include "compiler/import/half.h"
#include "compiler/quantize/q4.h"
#include "tests/support/q4_rows.h"
#include "tests/support/random.h"

namespace nbl::compiler {
namespace {

using test::random_rows;

std::vector<float> unpacked(const Q4Matrix& matrix, uint32_t row) {
  std::vector<float> values(matrix.columns);
  unpack_q4_row(matrix, row, values.data());
  return values;
}

std::vector<float> expected_row(const Q4Rows& rows, uint32_t row) {
  std::vector<float> values(rows.columns);
  for (uint32_t k = 0; k < rows.columns; ++k) {
    const float scale = rows.scales[size_t{row} * rows.groups() + k / rows.group_size];
    values[k] = static_cast<float>(rows.values[size_t{row} * rows.columns + k]) * scale;
  }
  return values;
}

TEST(Q4Rows, stores_groups_as_their_largest_power_of_two) {
  EXPECT_EQ(stored_group_size(32, 288), 32u);
  EXPECT_EQ(stored_group_size(96, 288), 32u);
  EXPECT_EQ(stored_group_size(112, 224), 16u);
  EXPECT_EQ(stored_group_size(24, 48), 8u);
  EXPECT_EQ(stored_group_size(512, 2048), 256u);
  EXPECT_EQ(stored_group_size(8, 2), 8u);
  // One scale a row.
  EXPECT_EQ(stored_group_size(34, 34), 64u);
  EXPECT_EQ(stored_group_size(2048, 2000), 256u);
  EXPECT_EQ(stored_group_size(7, 7), 32u);
  for (const uint32_t none : {0u, 1u, 4u, 12u, 33u}) {
    EXPECT_EQ(stored_group_size(none, 288), 0u) << none;
  }
}

TEST(Q4Rows, are_taken_over_bit_for_bit_in_any_group_size) {
  for (const auto& [columns, group] : std::vector<std::pair<uint32_t, uint32_t>>{{64, 32},
                                                                                 {288, 96},
                                                                                 {224, 112},
                                                                                 {48, 24},
                                                                                 {1024, 512},
                                                                                 {100, 64},
                                                                                 {34, 34},
                                                                                 {7, 7},
                                                                                 {40, 32},
                                                                                 {600, 512},
                                                                                 {96, 96}}) {
    const auto rows = random_rows(columns * 31 + group, 37, columns, group);
    Q4Error error;
    // The size that other weights are quantized in does not matter.
    for (const uint32_t other : {32u, 256u}) {
      const Q4Matrix matrix = quantize_q4(quantized_rows(rows), other, &error);
      EXPECT_EQ(matrix.format.group_size, stored_group_size(group, columns));
      EXPECT_EQ(error.lossless_rows, 37u);
      EXPECT_EQ(error.quantized_rows, 0u);
      for (uint32_t r = 0; r < 37; ++r)
        ASSERT_EQ(unpacked(matrix, r), expected_row(*rows, r)) << columns << " " << group;
    }
  }
}

TEST(Q4Rows, give_the_same_bits_whatever_order_they_arrived_in) {
  const auto rows = random_rows(1, 20, 64, 32);
  auto swapped = std::make_shared<Q4Rows>(*rows);
  swapped->embedding_order = true;
  const Q4Matrix a = quantize_q4(quantized_rows(rows), 32);
  const Q4Matrix b = quantize_q4(quantized_rows(swapped), 32);
  EXPECT_EQ(a.words, b.words);
  EXPECT_EQ(a.scales, b.scales);
  Constant x, y;
  x.quantized = rows;
  y.quantized = swapped;
  EXPECT_TRUE(same_rows(x, y));
}

TEST(Q4Rows, are_different_where_one_nibble_or_one_scale_is) {
  const auto rows = random_rows(2, 20, 64, 32);
  auto nibble = std::make_shared<Q4Rows>(*rows);
  nibble->values.back() = nibble->values.back() == 3 ? 2 : 3;
  auto scale = std::make_shared<Q4Rows>(*rows);
  scale->scales.back() *= 2;
  Constant a, b, c, d;
  a.quantized = rows;
  b.quantized = nibble;
  c.quantized = scale;
  EXPECT_FALSE(same_rows(a, b));
  EXPECT_FALSE(same_rows(a, c));
  EXPECT_FALSE(same_rows(a, d));
  EXPECT_TRUE(same_nibbles(*rows, *scale));
  EXPECT_FALSE(same_nibbles(*rows, *nibble));
}

TEST(Q4Rows, of_different_groups_stack_in_the_smallest) {
  auto constant = [](std::shared_ptr<const Q4Rows> rows) {
    auto made = std::make_shared<Constant>();
    made->quantized = std::move(rows);
    return made;
  };
  const auto coarse = random_rows(3, 5, 256, 256);
  const auto fine = random_rows(4, 5, 256, 64);
  for (const Arrangement arrangement : {Arrangement::stacked, Arrangement::interleaved}) {
    const auto both = arrange(arrangement, {constant(coarse), constant(fine)});
    const Q4Matrix matrix = quantize_q4(constant_rows(*both), 32);
    EXPECT_EQ(matrix.format.group_size, 64u);
    for (uint32_t r = 0; r < 10; ++r) {
      const bool stacked = arrangement == Arrangement::stacked;
      const bool first = stacked ? r < 5 : r % 2 == 0;
      EXPECT_EQ(unpacked(matrix, r),
                expected_row(first ? *coarse : *fine, stacked ? r % 5 : r / 2));
    }
  }
}

std::string refusal(const Q4Rows& rows) {
  try {
    check_q4_rows(rows);
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

TEST(Q4Rows, say_what_is_wrong_with_them) {
  const auto good = random_rows(5, 3, 64, 32);
  EXPECT_EQ(refusal(*good), "");
  Q4Rows bad = *good;
  bad.name = "tok_embeddings";
  bad.values[64 + 5] = 8;
  EXPECT_EQ(refusal(bad), "tok_embeddings, row 1, column 5: the value is 8; 4 bits hold -8 to 7");
  bad = *good;
  bad.scales[3] = NAN;
  EXPECT_EQ(refusal(bad),
            "a quantized weight, row 1: the scale of group 1 is nan; it must be finite");
  bad = *good;
  bad.group_size = 12;
  EXPECT_NE(refusal(bad).find("groups of 12 weights in rows of 64"), std::string::npos);
  bad = *good;
  bad.scales.pop_back();
  EXPECT_NE(refusal(bad).find("192 values and 5 scales"), std::string::npos);
  bad = *good;
  bad.rows = 0;
  EXPECT_NE(refusal(bad).find("shape [0, 64]"), std::string::npos);
}

TEST(Q4, quantizes_in_groups_that_are_no_power_of_two) {
  const uint32_t columns = 250;
  const std::vector<float> values = test::Random(11).normals(3 * columns);
  RowSource source;
  source.rows = 3;
  source.columns = columns;
  source.read = [&](uint32_t row, float* out) {
    std::copy_n(&values[size_t{row} * columns], columns, out);
  };
  source.describe = [](uint32_t) { return "a row"; };
  for (const uint32_t group : {24u, 96u, 112u, 512u, 4096u}) {
    const Q4Matrix matrix = quantize_q4(source, group);
    EXPECT_EQ(matrix.format.group_size, stored_group_size(group, columns));
    for (uint32_t r = 0; r < 3; ++r) {
      const std::vector<float> row = unpacked(matrix, r);
      for (uint32_t begin = 0; begin < columns; begin += group) {
        const uint32_t count = std::min(group, columns - begin);
        std::vector<float> part(&values[size_t{r} * columns + begin],
                                &values[size_t{r} * columns + begin] + count);
        part.resize((count + 7) / 8 * 8);
        std::vector<uint8_t> nibbles(part.size());
        const float scale =
            f16_to_f32(quantize_group(part.data(), uint32_t(part.size()), nibbles.data()));
        for (uint32_t i = 0; i < count; ++i)
          ASSERT_EQ(row[begin + i], static_cast<float>(nibbles[i] - 8) * scale) << group;
      }
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
