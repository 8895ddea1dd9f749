// One dispatch as a kernel's contract describes it: which SPIR-V variant, its specialisation and
// push constants, its grid. The caller (plan, or a test) adds the buffers, in the order the
// contract names.
#pragma once

#include <cstdint>
#include <cstring>

#include "rt/base/checked.h"
#include "rt/base/limits.h"

namespace nbl {

struct KernelCall {
  uint16_t variant = 0;  // index into kVariants (rt/kernels/variants.h)
  uint8_t spec_count = 0;
  uint8_t push_words = 0;
  uint32_t grid[3] = {1, 1, 1};
  uint32_t spec[kMaxSpecConstants] = {};
  uint32_t push[kMaxPushWords] = {};
};

template <typename Push>
void set_push(KernelCall* call, const Push& push) {
  static_assert(sizeof(Push) % 4 == 0 && sizeof(Push) <= size_t{4} * kMaxPushWords);
  memcpy(call->push, &push, sizeof push);
  call->push_words = sizeof(Push) / 4;
}

// Ends the push constants of a variant that reads weights from a sampled image: the texel that its
// window begins at (spirv/texture.h). Plan sets it once the weight has its place.
inline void add_first_texel(KernelCall* call) {
  call->push[call->push_words++] = 0;
}
inline void set_first_texel(KernelCall* call, uint32_t texel) {
  call->push[call->push_words - 1] = texel;
}

// Spreads `groups` workgroups over x and y where one axis cannot hold them. Kernels find their
// index as gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x and leave when it is past the
// end.
inline void set_grid_folded(KernelCall* call, uint32_t groups, uint32_t max_axis) {
  const uint32_t y = div_up(groups, max_axis);
  call->grid[0] = y == 0 ? 1 : div_up(groups, y);
  call->grid[1] = y == 0 ? 1 : y;
}

}  // namespace nbl
