// Integer helpers that cannot overflow silently, and the assert for our own mistakes.
#pragma once

#include <cstddef>
#include <cstdint>

// For what only a bug of ours can break. Input never reaches an assert.
#ifdef NBL_ASSERTS
#define NBL_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define NBL_ASSERT(condition) ((void)0)
#endif

namespace nbl {

// True where a*b fits; *product is then a*b.
inline bool checked_mul(uint64_t a, uint64_t b, uint64_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}

// True where a+b fits; *sum is then a+b.
inline bool checked_add(uint64_t a, uint64_t b, uint64_t* sum) {
  return !__builtin_add_overflow(a, b, sum);
}

// A count that memory which is there holds, so that it fits: size_t is narrower than the 64 bits of
// files and plans on 32-bit machines. The caller has compared it with a size_t.
constexpr size_t in_memory(uint64_t count) {
  NBL_ASSERT(static_cast<size_t>(count) == count);
  return static_cast<size_t>(count);
}

// The smallest multiple of `align` (a power of two) that is at least `value`.
// The caller knows that value + align does not overflow.
template <typename Int>
constexpr Int align_up(Int value, Int align) {
  return static_cast<Int>((value + (align - 1)) & ~(align - 1));
}

template <typename Int>
constexpr Int div_up(Int value, Int divisor) {
  return static_cast<Int>((value + divisor - 1) / divisor);
}

template <typename Int>
constexpr Int min_of(Int a, Int b) {
  return a < b ? a : b;
}

template <typename Int>
constexpr Int max_of(Int a, Int b) {
  return a > b ? a : b;
}

}  // namespace nbl
