// KV caches of every type as words, for tests.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "rt/model/cache.h"
#include "tests/support/rows.h"

namespace nbl::test {

inline constexpr uint16_t kHalfNan = 0x7e01;
inline constexpr uint32_t kFloatNan = 0x7fc00001;

// Keys and values [kv_heads][context][head_dim] as rt/model/model.h lays them out, everything NaN
// until written.
struct Caches {
  Caches(uint32_t kv_heads_in, uint32_t context_in, uint32_t head_dim_in,
         DType type_in = DType::f16)
      : kv_heads(kv_heads_in), context(context_in), head_dim(head_dim_in), type(type_in) {
    const size_t elements = size_t{kv_heads} * context * head_dim;
    if (type == DType::f16) k.assign(elements / 2, uint32_t{kHalfNan} * 0x10001u);
    if (type == DType::f32) k.assign(elements, kFloatNan);
    if (type == DType::i8) k.assign(elements / 4 + size_t{kv_heads} * context, kFloatNan);
    v = k;
  }
  size_t index(uint32_t kv_head, uint32_t position, uint32_t dim) const {
    return (size_t{kv_head} * context + position) * head_dim + dim;
  }
  // Word of an int8 row's scale.
  size_t scale_index(uint32_t kv_head, uint32_t position) const {
    return size_t{kv_heads} * context * head_dim / 4 + size_t{kv_head} * context + position;
  }

  double value(const std::vector<uint32_t>& cache, uint32_t kv_head, uint32_t position,
               uint32_t dim) const {
    const size_t at = index(kv_head, position, dim);
    if (type == DType::f16) return static_cast<double>(half_value(half_at(cache, at)));
    if (type == DType::f32) return static_cast<double>(std::bit_cast<float>(cache[at]));
    const auto byte = static_cast<int8_t>(cache[at / 4] >> (8 * (at % 4)));
    return byte * static_cast<double>(std::bit_cast<float>(cache[scale_index(kv_head, position)]));
  }

  // One head's elements at a position, rounded as the cache's type has it.
  void set_row(std::vector<uint32_t>* cache, uint32_t kv_head, uint32_t position,
               std::span<const float> row) const {
    float peak = 0;
    for (const float x : row)
      peak = std::max(peak, std::abs(x));
    const float scale = peak / 127;
    for (uint32_t d = 0; d < head_dim; ++d) {
      const size_t at = index(kv_head, position, d);
      if (type == DType::f16) set_half(*cache, at, f32_to_f16(row[d]));
      if (type == DType::f32) (*cache)[at] = std::bit_cast<uint32_t>(row[d]);
      if (type != DType::i8) continue;
      const auto q = static_cast<int>(scale > 0 ? std::nearbyint(row[d] / scale) : 0);
      const uint32_t shift = 8 * (at % 4);
      uint32_t& word = (*cache)[at / 4];
      word = (word & ~(0xffu << shift)) | (static_cast<uint32_t>(q) & 0xffu) << shift;
    }
    if (type == DType::i8) {
      (*cache)[scale_index(kv_head, position)] = std::bit_cast<uint32_t>(scale);
    }
  }

  uint32_t kv_heads, context, head_dim;
  DType type;
  std::vector<uint32_t> k, v;
};

}  // namespace nbl::test
