// What the host sees of device memory that is not coherent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nbl::test {

// A copy of `size` bytes of device memory, whole lines of which move between the two on demand: a
// line that the host has changed goes to the device with all its bytes, those that the device has
// changed meanwhile included, as a cache does it.
class NoncoherentMemory {
 public:
  NoncoherentMemory() = default;
  NoncoherentMemory(std::byte* device, size_t size, size_t line_bytes)
      : device_(device),
        line_bytes_(line_bytes),
        host_(device, device + size),
        synced_(device, device + size) {}

  std::byte* host() { return host_.data(); }

  void flush(size_t offset, size_t size) {
    each_line(offset, size, [&](size_t at, size_t bytes) {
      if (std::memcmp(&host_[at], &synced_[at], bytes) == 0) return;
      std::memcpy(device_ + at, &host_[at], bytes);
      std::memcpy(&synced_[at], &host_[at], bytes);
    });
  }
  void invalidate(size_t offset, size_t size) {
    each_line(offset, size, [&](size_t at, size_t bytes) {
      std::memcpy(&host_[at], device_ + at, bytes);
      std::memcpy(&synced_[at], device_ + at, bytes);
    });
  }

 private:
  template <typename Visit>
  void each_line(size_t offset, size_t size, const Visit& visit) {
    const size_t end = size > host_.size() - offset ? host_.size() : offset + size;
    for (size_t at = offset; at < end; at += line_bytes_)
      visit(at, end - at < line_bytes_ ? end - at : line_bytes_);
  }

  std::byte* device_ = nullptr;
  size_t line_bytes_ = 1;
  std::vector<std::byte> host_;
  std::vector<std::byte> synced_;  // what the two were when a line moved last
};

}  // namespace nbl::test
