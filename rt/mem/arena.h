// Arena: the one host block that the caller hands over, given out in slices.
//
//   Arena arena(block);
//   NBL_TRY(arena.take_array(count, &ops, error));           // persistent: until the block goes
//   NBL_TRY(arena.take_setup_array(count, &order, error));   // setup: until seal()
//   arena.seal();                                            // nothing is taken from here on
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "rt/base/status.h"

namespace nbl {

// Where an object is to be built: placement new without the header <new>.
struct Place {
  void* at;
};

}  // namespace nbl

inline void* operator new(size_t, nbl::Place place) noexcept {
  return place.at;
}
inline void operator delete(void*, nbl::Place) noexcept {}

namespace nbl {

// Persistent slices come from the front, setup slices from the back; none is freed on its own.
//
// Borrows  `block`, alive and unmoved for as long as a slice is in use.
class Arena {
 public:
  Arena() = default;
  explicit Arena(std::span<std::byte> block) : block_(block) {}

  // A slice that stays. Its bytes are whatever the block held.
  //
  // Units   bytes may be 0; align is a power of two and applies to the address.
  // Errors  arena_full: name = `what`, value = bytes needed in all so far, this request and its
  //         padding included, limit = capacity. *out and the arena are untouched.
  Status take(uint64_t bytes, size_t align, std::span<std::byte>* out, Error* error,
              std::string_view what = "runtime");

  // The same for a slice that is gone at seal().
  Status take_setup(uint64_t bytes, size_t align, std::span<std::byte>* out, Error* error,
                    std::string_view what = "setup");

  // `count` value-initialised elements. Errors as take().
  template <typename T>
  Status take_array(size_t count, std::span<T>* out, Error* error,
                    std::string_view what = "runtime") {
    std::span<std::byte> bytes;
    NBL_TRY(take(array_bytes<T>(count), alignof(T), &bytes, error, what));
    *out = build<T>(bytes, count);
    return Status();
  }
  template <typename T>
  Status take_setup_array(size_t count, std::span<T>* out, Error* error,
                          std::string_view what = "setup") {
    std::span<std::byte> bytes;
    NBL_TRY(take_setup(array_bytes<T>(count), alignof(T), &bytes, error, what));
    *out = build<T>(bytes, count);
    return Status();
  }

  // Ends setup: setup slices are gone and another take is a programming error.
  void seal();
  bool sealed() const { return sealed_; }

  // Bytes taken now, padding included; at most so far; and the size of the block.
  size_t used() const { return front_ + back_; }
  size_t peak() const { return peak_; }
  size_t capacity() const { return block_.size(); }

 private:
  // What cannot be counted in 64 bits is more than any block has.
  template <typename T>
  static uint64_t array_bytes(uint64_t count) {
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(count, sizeof(T), &bytes)) {
      return std::numeric_limits<uint64_t>::max();
    }
    return bytes;
  }

  template <typename T>
  static std::span<T> build(std::span<std::byte> bytes, size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    T* first = reinterpret_cast<T*>(bytes.data());
    for (size_t i = 0; i < count; ++i)
      ::new (Place{first + i}) T();
    return {first, count};
  }

  std::span<std::byte> block_;
  size_t front_ = 0;  // bytes taken from the front, padding included
  size_t back_ = 0;   // and from the back
  size_t peak_ = 0;
  bool sealed_ = false;
};

}  // namespace nbl
