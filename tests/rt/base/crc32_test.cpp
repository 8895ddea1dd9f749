// What could break: a wrong polynomial or bit order, and a result that depends on how the input is
// cut.
#include "rt/base/crc32.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace nbl {
namespace {

uint32_t crc_of(std::string_view text) {
  return crc32(std::as_bytes(std::span(text)));
}

// One bit at a time, as IEEE 802.3 defines it.
uint32_t bitwise_crc(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffffu;
  for (const std::byte byte : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t in = (static_cast<uint32_t>(byte) >> bit) & 1u;
      const bool out = ((crc ^ in) & 1u) != 0;
      crc >>= 1;
      if (out) crc ^= 0xedb88320u;
    }
  }
  return ~crc;
}

TEST(Crc32, gives_the_published_check_values) {
  EXPECT_EQ(crc_of(""), 0u);
  EXPECT_EQ(crc_of("123456789"), 0xcbf43926u);
  EXPECT_EQ(crc_of("a"), 0xe8b7be43u);
  EXPECT_EQ(crc_of("The quick brown fox jumps over the lazy dog"), 0x414fa339u);
}

TEST(Crc32, agrees_with_a_bitwise_reference_however_the_input_is_cut) {
  const uint32_t seed = 20240601;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (size_t size = 0; size < 300; size += 7) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes)
      byte = static_cast<std::byte>(random());
    Crc32 pieces;
    for (size_t at = 0; at < size;) {
      const size_t length = std::min<size_t>(random() % 9, size - at);
      pieces.update(std::span(bytes).subspan(at, length));
      at += length;
    }
    EXPECT_EQ(pieces.value(), bitwise_crc(bytes)) << size;
    EXPECT_EQ(crc32(bytes), pieces.value()) << size;
  }
}

TEST(Crc32, changes_with_every_single_bit) {
  std::vector<std::byte> bytes(33, std::byte{0x5a});
  const uint32_t before = crc32(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_NE(crc32(bytes), before) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
  }
}

}  // namespace
}  // namespace nbl
