// CRC-32 of IEEE 802.3 (reflected polynomial 0xEDB88320), the check of a file's header and graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nbl {

// Takes bytes in pieces of any size; value() is the CRC of all bytes so far. Empty input: 0.
//
// Source   a table of 16 entries, one nibble a step: 64 bytes of rodata instead of 1 KiB, because
//          only a few hundred kilobytes of a model are covered by it.
class Crc32 {
 public:
  void update(std::span<const std::byte> bytes);
  uint32_t value() const { return ~state_; }

 private:
  uint32_t state_ = ~uint32_t{0};
};

// The CRC of one run of bytes.
uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace nbl
