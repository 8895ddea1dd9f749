// A copy of bytes that ends where they end and begins as a model must, so that AddressSanitizer
// sees the first byte too far.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>

namespace nbl::fuzz {

class ExactBytes {
 public:
  explicit ExactBytes(size_t size) : size_(size) {
    if (posix_memalign(&memory_, 64, size) != 0) std::abort();
  }
  ExactBytes(const uint8_t* data, size_t size) : ExactBytes(size) {
    if (size > 0) std::memcpy(memory_, data, size);
  }
  ~ExactBytes() { std::free(memory_); }
  ExactBytes(const ExactBytes&) = delete;
  ExactBytes& operator=(const ExactBytes&) = delete;

  std::span<std::byte> span() const { return {static_cast<std::byte*>(memory_), size_}; }

 private:
  void* memory_ = nullptr;
  size_t size_;
};

}  // namespace nbl::fuzz
