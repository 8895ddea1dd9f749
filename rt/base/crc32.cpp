#include "rt/base/crc32.h"

#include <array>

namespace nbl {
namespace {

// Entry n is the CRC register after the four bits of n went through the reflected polynomial.
constexpr std::array<uint32_t, 16> make_table() {
  std::array<uint32_t, 16> table{};
  for (uint32_t n = 0; n < 16; ++n) {
    uint32_t crc = n;
    for (int bit = 0; bit < 4; ++bit)
      crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
    table[n] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 16> kTable = make_table();

}  // namespace

void Crc32::update(std::span<const std::byte> bytes) {
  uint32_t crc = state_;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    crc = (crc >> 4) ^ kTable[crc & 15u];
    crc = (crc >> 4) ^ kTable[crc & 15u];
  }
  state_ = crc;
}

uint32_t crc32(std::span<const std::byte> bytes) {
  Crc32 crc;
  crc.update(bytes);
  return crc.value();
}

}  // namespace nbl
