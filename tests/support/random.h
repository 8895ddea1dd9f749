// Seeded random test data. The seed is printed once a process and can be set by NIBBLE_TEST_SEED.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace nbl::test {

inline uint64_t seed() {
  static const uint64_t value = [] {
    const char* text = std::getenv("NIBBLE_TEST_SEED");
    const uint64_t chosen = text != nullptr
                                ? std::strtoull(text, nullptr, 0)
                                : (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
    std::printf("NIBBLE_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
  }();
  return value;
}

class Random {
 public:
  // `stream` tells the tests of one process apart.
  explicit Random(uint64_t stream = 0) : engine_(seed() + 0x9e3779b97f4a7c15ull * stream) {}

  uint32_t below(uint32_t limit) {
    return std::uniform_int_distribution<uint32_t>(0, limit - 1)(engine_);
  }
  float uniform(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  float normal() { return std::normal_distribution<float>()(engine_); }
  std::vector<float> normals(size_t count) {
    std::vector<float> values(count);
    for (float& value : values)
      value = normal();
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace nbl::test
