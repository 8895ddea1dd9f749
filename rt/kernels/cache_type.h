// How the kernels of attention are told a cache's type.
#pragma once

#include <cstdint>

#include "rt/model/model.h"
#include "spirv/cache_mode.h"

namespace nbl {

constexpr uint32_t cache_mode(DType type) {
  return type == DType::f32 ? CACHE_F32 : type == DType::i8 ? CACHE_I8 : CACHE_F16;
}

// Work-items of a workgroup of `lanes`, four elements each: whole heads where something is found
// over a head, as the scales of an int8 cache are.
constexpr uint32_t cache_group_items(bool whole_heads, uint32_t head_dim, uint32_t lanes) {
  return whole_heads ? lanes - lanes % (head_dim / 4) : lanes;
}

}  // namespace nbl
