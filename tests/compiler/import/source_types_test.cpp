// Could break: a bit of a block is taken from a wrong place, a scale goes to wrong elements, or a
// value is signed where it should not be.
#include "compiler/import/source_types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "tests/support/source_blocks.h"

namespace {

using namespace nbl::compiler;
using nbl::test::block_shape;
using nbl::test::block_value;
using nbl::test::SourceBlock;

constexpr SourceType kBlockTypes[] = {SourceType::q8_0, SourceType::q4_0,  SourceType::q4_1,
                                      SourceType::q5_0, SourceType::q5_1,  SourceType::q2_k,
                                      SourceType::q3_k, SourceType::q4_k,  SourceType::q5_k,
                                      SourceType::q6_k, SourceType::iq4_nl};

std::vector<float> decode(SourceType type, const std::string& bytes, uint64_t columns) {
  std::vector<float> out(columns);
  read_source_row(type, reinterpret_cast<const std::byte*>(bytes.data()), columns, out.data());
  return out;
}

TEST(SourceTypes, decode_what_an_encoder_of_their_definition_writes) {
  std::mt19937 random(7);
  for (const SourceType type : kBlockTypes) {
    SCOPED_TRACE(source_type_name(type));
    const uint32_t elements = block_shape(type).elements;
    ASSERT_EQ(source_block(type), elements);
    for (int repeat = 0; repeat < 20; ++repeat) {
      // Two blocks: the second must begin where the first ends.
      std::string bytes;
      std::vector<double> expected;
      double largest = 0;
      for (int b = 0; b < 2; ++b) {
        const SourceBlock block = nbl::test::random_block(type, &random);
        bytes += nbl::test::encode_block(type, block);
        for (uint32_t i = 0; i < elements; ++i) {
          expected.push_back(block_value(type, block, i));
          largest = std::max(largest, std::fabs(expected.back()));
        }
      }
      ASSERT_EQ(source_row_bytes(type, 2 * elements), bytes.size());
      const std::vector<float> values = decode(type, bytes, 2 * elements);
      // A few float32 roundings of a product and a difference of two products.
      const double bound = 16 * 1.2e-7 * largest;
      for (uint32_t i = 0; i < 2 * elements; ++i)
        ASSERT_NEAR(static_cast<double>(values[i]), expected[i], bound) << i;
    }
  }
}

// Bytes worked out by hand. 0x3c00 is 1 in f16, 0x3800 one half, 0xc000 -2.
TEST(SourceTypes, decode_known_bytes) {
  const std::string one("\x00\x3c", 2), half("\x00\x38", 2), minus_two("\x00\xc0", 2);
  const auto zeros = [](size_t count) { return std::string(count, '\0'); };

  // Byte 0 = 0x7f: element 0 has nibble 15, element 16 nibble 7; the others 0.
  const std::string nibbles = "\x7f" + zeros(15);
  std::vector<float> x = decode(SourceType::q4_0, half + nibbles, 32);
  EXPECT_EQ(x[0], 3.5f);
  EXPECT_EQ(x[16], -0.5f);
  EXPECT_EQ(x[1], -4.0f);
  x = decode(SourceType::q4_1, half + minus_two + nibbles, 32);
  EXPECT_EQ(x[0], 5.5f);
  EXPECT_EQ(x[16], 1.5f);
  EXPECT_EQ(x[31], -2.0f);
  // Fifth bits 0x00010001: of elements 0 and 16.
  const std::string fifth("\x01\x00\x01\x00", 4);
  x = decode(SourceType::q5_0, one + fifth + nibbles, 32);
  EXPECT_EQ(x[0], 15.0f);
  EXPECT_EQ(x[16], 7.0f);
  EXPECT_EQ(x[1], -16.0f);
  x = decode(SourceType::q5_1, one + half + fifth + nibbles, 32);
  EXPECT_EQ(x[0], 31.5f);
  EXPECT_EQ(x[16], 23.5f);
  EXPECT_EQ(x[17], 0.5f);
  x = decode(SourceType::iq4_nl, one + nibbles, 32);
  EXPECT_EQ(x[0], 113.0f);
  EXPECT_EQ(x[16], -10.0f);
  EXPECT_EQ(x[1], -127.0f);
  x = decode(SourceType::q8_0, half + "\x80\x7f" + zeros(30), 32);
  EXPECT_EQ(x[0], -64.0f);
  EXPECT_EQ(x[1], 63.5f);

  // q2_k: the second 16 elements have step 3 and low 2; byte 16 of the values is 0b11'10'01'11: of
  // elements 16, 48, 80 and 112.
  x = decode(SourceType::q2_k,
             zeros(1) + "\x23" + zeros(14) + zeros(16) + "\xe7" + zeros(47) + one + half, 256);
  EXPECT_EQ(x[16], 3 * 3 - 0.5f * 2);
  EXPECT_EQ(x[17], -1.0f);
  EXPECT_EQ(x[48], 0.0f);  // its step is 0
  EXPECT_EQ(x[0], 0.0f);

  // q3_k: step 9 is the high nibble of byte 1 (0x5) and bits 4..5 of byte 9 (0b10): 37 - 32 = 5.
  // Element 9 * 16 + 3 = 147 has its third bit at bit 4 of byte 3 + 16 and its others at bits 0..1
  // of byte 32 + 19.
  std::string q3 = zeros(19) + "\x10" + zeros(12);
  q3 += zeros(32 + 19) + "\x02" + zeros(12);
  q3 += zeros(1) + "\x50" + zeros(7) + "\x20" + zeros(2) + one;
  x = decode(SourceType::q3_k, q3, 256);
  EXPECT_EQ(x[147], 5.0f * 2);
  EXPECT_EQ(x[148], 5.0f * -4);
  EXPECT_EQ(x[0], -32.0f * -4);

  // q4_k: step 0 is byte 0 & 63 = 5, low 0 byte 4 & 63 = 3; step 4 is byte 8 & 15 with bits 6..7
  // of byte 0 above (0b01): 16 + 2, low 4 byte 8 >> 4 with those of byte 4 (0b10): 32 + 1.
  const std::string packed = "\x45" + zeros(3) + "\x83" + zeros(3) + "\x12" + zeros(3);
  x = decode(SourceType::q4_k, one + half + packed + "\x9c" + zeros(63) + "\x04" + zeros(63), 256);
  EXPECT_EQ(x[0], 5.0f * 12 - 0.5f * 3);
  EXPECT_EQ(x[1], -1.5f);
  EXPECT_EQ(x[32], 0.0f);  // nibble 9, step and low 0
  EXPECT_EQ(x[128], 18.0f * 4 - 0.5f * 33);
  // q5_k: bits 0 and 4 of byte 0 are the fifth bits of elements 0 and 128.
  x = decode(SourceType::q5_k,
             one + half + packed + "\x11" + zeros(31) + "\x9c" + zeros(63) + "\x04" + zeros(63),
             256);
  EXPECT_EQ(x[0], 5.0f * 28 - 0.5f * 3);
  EXPECT_EQ(x[128], 18.0f * 20 - 0.5f * 33);

  // q6_k: byte 0 = 0xa5: element 0 has low bits 5, element 64 has 10; byte 128 = 0b00'11'00'10: the
  // bits above are 2 and 3. Steps 0 and 4 are -1 and 2.
  x = decode(
      SourceType::q6_k,
      "\xa5" + zeros(127) + "\x32" + zeros(63) + "\xff" + zeros(3) + "\x02" + zeros(11) + one, 256);
  EXPECT_EQ(x[0], -1.0f * (37 - 32));
  EXPECT_EQ(x[64], 2.0f * (58 - 32));
  EXPECT_EQ(x[1], 32.0f);
}

TEST(SourceTypes, have_names_and_sizes) {
  EXPECT_EQ(source_type_names(),
            "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL");
  EXPECT_EQ(source_row_bytes(SourceType::bf16, 7), 14u);
  EXPECT_EQ(source_row_bytes(SourceType::q6_k, 512), 420u);
  EXPECT_EQ(decode(SourceType::bf16, std::string("\x80\x3f\x00\xc0", 4), 2),
            (std::vector<float>{1, -2}));
}

}  // namespace
