// Takes arrays from an arena in whole 64-byte lines, or only adds up what they would take, so that
// a size told beforehand is exact.
#pragma once

#include "rt/base/checked.h"
#include "rt/mem/arena.h"

namespace nbl {

inline constexpr size_t kStorageAlign = 64;

template <typename T>
constexpr uint64_t storage_bytes(uint64_t count) {
  return align_up<uint64_t>(count * sizeof(T), kStorageAlign);
}

class Storage {
 public:
  // Without an arena nothing is taken and the spans stay empty. The arena starts 64-byte aligned.
  explicit Storage(Arena* arena) : arena_(arena) {}

  template <typename T>
  Status persistent(uint64_t count, std::span<T>* out, Error* error) {
    std::byte* raw = nullptr;
    NBL_TRY(take(storage_bytes<T>(count), false, &raw, error));
    if (raw != nullptr) *out = build<T>(raw, count);
    return {};
  }

  template <typename T>
  Status setup(uint64_t count, std::span<T>* out, Error* error) {
    std::byte* raw = nullptr;
    NBL_TRY(take(storage_bytes<T>(count), true, &raw, error));
    if (raw != nullptr) *out = build<T>(raw, count);
    return {};
  }

  uint64_t bytes() const { return bytes_; }

 private:
  // What all types have in common. Without an arena *out stays as it is.
  Status take(uint64_t bytes, bool setup, std::byte** out, Error* error);

  template <typename T>
  static std::span<T> build(std::byte* raw, uint64_t count) {
    T* first = reinterpret_cast<T*>(raw);
    for (uint64_t i = 0; i < count; ++i)
      ::new (Place{first + i}) T();
    return {first, in_memory(count)};
  }

  Arena* arena_;
  uint64_t bytes_ = 0;
};

}  // namespace nbl
