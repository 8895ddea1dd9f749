// rope: rotates the first rotary_dim dimensions of each head at the token's position.
#pragma once

#include <cstdint>

#include "rt/base/limits.h"
#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

struct RopeArgs {
  uint32_t tokens;  // rows the recording has room for
  uint32_t heads;
  uint32_t head_dim;    // a multiple of 4
  uint32_t rotary_dim;  // even, at most head_dim
  bool half;            // pairs (i, i + rotary_dim/2) instead of (2i, 2i+1)
};

// Rows of the angle table for `context` positions.
constexpr uint32_t rope_table_rows(uint32_t context) {
  return kRopeFineRows + (context + kRopeFineRows - 1) / kRopeFineRows;
}

// From a pair's first element to its second.
constexpr uint32_t rope_pair_offset(uint32_t rotary_dim, bool half) {
  return half && rotary_dim > 2 ? rotary_dim / 2 : 1;
}

// Bindings  step, x, table, out three times, x again: it is rope_update_cache's kernel with queries
//           alone.
// Shapes    x, out f32 [tokens][row_stride(heads * head_dim)]; padding of out is 0.
//           table f32 [rope_table_rows(context)][rotary_dim]: (cos, sin) pairs; row r < 64 is for
//           position r, row 64 + j for position 64 * j.
// Errors    device_limit.
Status call_rope(const Caps& caps, const RopeArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
