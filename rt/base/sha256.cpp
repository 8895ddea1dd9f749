#include "rt/base/sha256.h"

#include <bit>
#include <cstring>

namespace nbl {
namespace {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
constexpr uint32_t kRound[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
    0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
    0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
    0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
    0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
    0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
    0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
    0xc67178f2u};

uint32_t read_big_endian(const std::byte* bytes) {
  return (static_cast<uint32_t>(bytes[0]) << 24) | (static_cast<uint32_t>(bytes[1]) << 16) |
         (static_cast<uint32_t>(bytes[2]) << 8) | static_cast<uint32_t>(bytes[3]);
}

uint32_t small_sigma0(uint32_t x) {
  return std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3);
}
uint32_t small_sigma1(uint32_t x) {
  return std::rotr(x, 17) ^ std::rotr(x, 19) ^ (x >> 10);
}
uint32_t big_sigma0(uint32_t x) {
  return std::rotr(x, 2) ^ std::rotr(x, 13) ^ std::rotr(x, 22);
}
uint32_t big_sigma1(uint32_t x) {
  return std::rotr(x, 6) ^ std::rotr(x, 11) ^ std::rotr(x, 25);
}

}  // namespace

// The message schedule is kept as a ring of its last 16 words: word t needs no older one.
void Sha256::compress(const std::byte* block) {
  uint32_t schedule[16];
  for (uint32_t t = 0; t < 16; ++t)
    schedule[t] = read_big_endian(block + size_t{4} * t);
  uint32_t a = state_[0], b = state_[1], c = state_[2], d = state_[3];
  uint32_t e = state_[4], f = state_[5], g = state_[6], h = state_[7];
  for (uint32_t t = 0; t < 64; ++t) {
    uint32_t& word = schedule[t % 16];
    if (t >= 16) {
      word += small_sigma1(schedule[(t + 14) % 16]) + schedule[(t + 9) % 16] +
              small_sigma0(schedule[(t + 1) % 16]);
    }
    const uint32_t choice = (e & f) ^ (~e & g);
    const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    const uint32_t first = h + big_sigma1(e) + choice + kRound[t] + word;
    const uint32_t second = big_sigma0(a) + majority;
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
  for (uint32_t i = 0; i < 8; ++i)
    state_[i] += sums[i];
}

void Sha256::update(std::span<const std::byte> bytes) {
  size_t used = total_bytes_ % 64;
  total_bytes_ += bytes.size();
  if (used > 0) {
    const size_t room = 64 - used;
    const size_t taken = bytes.size() < room ? bytes.size() : room;
    if (taken > 0) memcpy(block_ + used, bytes.data(), taken);
    bytes = bytes.subspan(taken);
    used += taken;
    if (used < 64) return;
    compress(block_);
  }
  while (bytes.size() >= 64) {
    compress(bytes.data());
    bytes = bytes.subspan(64);
  }
  if (!bytes.empty()) memcpy(block_, bytes.data(), bytes.size());
}

void Sha256::finish(Sha256Digest* digest) {
  const uint64_t total_bits = total_bytes_ * 8;
  size_t used = total_bytes_ % 64;
  block_[used++] = std::byte{0x80};
  if (used > 56) {
    memset(block_ + used, 0, 64 - used);
    compress(block_);
    used = 0;
  }
  memset(block_ + used, 0, 56 - used);
  for (uint32_t i = 0; i < 8; ++i) {
    block_[56 + i] = static_cast<std::byte>((total_bits >> (56 - 8 * i)) & 0xffu);
  }
  compress(block_);
  for (uint32_t i = 0; i < 32; ++i) {
    (*digest)[i] = static_cast<uint8_t>((state_[i / 4] >> (24 - 8 * (i % 4))) & 0xffu);
  }
}

void sha256(std::span<const std::byte> bytes, Sha256Digest* digest) {
  Sha256 hash;
  hash.update(bytes);
  hash.finish(digest);
}

}  // namespace nbl
