// rope_update_cache: norm and rope of queries and keys, then keys and values into their caches, in
// their type.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/model/model.h"
#include "spirv/rope_update_cache.push.h"

namespace nbl {

struct RopeUpdateCacheArgs {
  uint32_t tokens;  // rows the recording has room for
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t head_dim;    // a multiple of 4, at most 256
  uint32_t rotary_dim;  // even, at most head_dim
  bool half;            // pairs (i, i + rotary_dim/2) instead of (2i, 2i+1)
  uint32_t context;     // positions the caches have room for; tokens past it are dropped
  DType cache = DType::f16;
  bool norm = false;  // of each head of q and k, before the rotation
  float eps = 0;      // of the norm
};

// Bindings  step, qkv, table, q, k cache, v cache, norm (anything where there is none).
// Shapes    qkv f32 [tokens][row_stride((heads + 2 * kv_heads) * head_dim)]: all heads of q,
//           then of k, then of v. q f32 [tokens][row_stride(heads * head_dim)], its padding
//           written as 0. norm f32 [2 * head_dim]: weights of q, then of k. table as in rope.h,
//           caches as in update_cache.h.
// Errors    device_limit.
Status call_rope_update_cache(const Caps& caps, const RopeUpdateCacheArgs& args, KernelCall* call,
                              Error* error);

// What the calls of the kernel have in common, whatever part of it they use. `whole_heads`: a
// workgroup holds whole heads.
struct RopeUpdateCacheModes {
  DType cache = DType::f16;
  bool norm = false;
  bool back = false;
  bool whole_heads = false;
};
Status call_rope_kernel(const Caps& caps, const RopeUpdateCacheModes& modes, uint64_t items,
                        const RopeUpdateCachePush& push, KernelCall* call, Error* error);

}  // namespace nbl
