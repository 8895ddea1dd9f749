// SHA-256, the identity of a weight segment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nbl {

using Sha256Digest = std::array<uint8_t, 32>;

// Takes bytes in pieces of any size. 112 bytes, no heap; free to copy, so that a common prefix
// needs hashing once.
//
// Source   FIPS 180-4.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  // The digest of all bytes so far. Ends the hash: nothing may follow.
  void finish(Sha256Digest* digest);

 private:
  void compress(const std::byte* block);

  uint32_t state_[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                        0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
  uint64_t total_bytes_ = 0;
  std::byte block_[64] = {};  // the first total_bytes_ % 64 bytes wait for their block to fill
};

// The digest of one run of bytes.
void sha256(std::span<const std::byte> bytes, Sha256Digest* digest);

}  // namespace nbl
