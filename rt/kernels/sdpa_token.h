// rope_update_cache and sdpa_with_kv_cache of one token in one dispatch, for wide devices: each
// dispatch of a dependent chain costs them more than what it does here.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/kernels/sdpa.h"

namespace nbl {

struct SdpaTokenArgs {
  uint32_t heads;  // a multiple of kv_heads
  uint32_t kv_heads;
  uint32_t head_dim;
  uint32_t rotary_dim;  // even, at most head_dim
  bool half;            // pairs (i, i + rotary_dim/2) instead of (2i, 2i+1)
  uint32_t context;     // positions the caches have room for
  float scale;          // of q . k, usually 1 / sqrt(head_dim)
  DType cache = DType::f16;
  uint32_t window = 0;  // keys that the query sees, its own included; 0 = all
  float softcap = 0;    // scores become cap * tanh(score / cap); 0 = as they are
};

// True where the device is wide and has room for it, and the shape is one that the kernel takes:
// whole uvec4s of a head, at most 8 queries a kv head and 8 kv heads, caches of f16 or i8.
bool sdpa_token_fits(const Caps& caps, const SdpaTokenArgs& args);

// What the parts of the context leave for the last of them to join.
SdpaPartialBytes sdpa_token_partial_bytes(const SdpaTokenArgs& args);

// Bindings  step (written: its counters), qkv, table, k cache, v cache, out, sums, max_sum.
// Shapes    qkv and table as in rope_update_cache.h, out f32 [row_stride(heads * head_dim)], its
//           padding 0; caches as in update_cache.h. The counters are 0 before and after.
// Errors    device_limit. Only where sdpa_token_fits().
Status call_sdpa_token(const Caps& caps, const SdpaTokenArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
