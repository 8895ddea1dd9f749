// update_cache: writes new keys or values into their cache as f16.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

struct UpdateCacheArgs {
  uint32_t tokens;  // rows the recording has room for
  uint32_t kv_heads;
  uint32_t head_dim;  // a multiple of 4
  uint32_t context;   // positions the cache has room for; tokens past it are dropped
};

// Bindings  step, x, cache.
// Shapes    x f32 [tokens][row_stride(kv_heads * head_dim)],
//           cache f16 [kv_heads][context][head_dim], two halves a word.
// Rounding is to nearest even on every device; what no half can hold becomes the largest half.
// Errors    device_limit.
Status call_update_cache(const Caps& caps, const UpdateCacheArgs& args, KernelCall* call,
                         Error* error);

}  // namespace nbl
