// What a KV cache may hold, and the room it takes.
//
// Layout  [Hkv, context, D], where context is the plan's: f32; f16, two elements a word; or i8,
//         four elements a word, followed by f32 scales [Hkv, context]: value = element * scale,
//         and scale is the largest magnitude of the D elements / 127.
#pragma once

#include <cstdint>

#include "rt/model/model.h"

namespace nbl {

constexpr bool is_cache_type(DType dtype) {
  return dtype == DType::f16 || dtype == DType::f32 || dtype == DType::i8;
}

// Bytes of one head's elements at one position, an i8 one's scale included.
constexpr uint32_t cache_row_bytes(DType dtype, uint32_t head_dim) {
  if (dtype == DType::i8) return head_dim + 4;
  return head_dim * (dtype == DType::f32 ? 4 : 2);
}

}  // namespace nbl
