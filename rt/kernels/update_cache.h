// update_cache: writes new keys or values into their cache, in the cache's type.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/model/model.h"

namespace nbl {

struct UpdateCacheArgs {
  uint32_t tokens;  // rows the recording has room for
  uint32_t kv_heads;
  uint32_t head_dim;         // a multiple of 4, at most 256
  uint32_t context;          // positions the cache has room for; tokens past it are dropped
  DType cache = DType::f16;  // or f32, i8
};

// Bindings  step, x, x again, then the cache three times: it is rope_update_cache's kernel with
//           keys alone.
// Shapes    x f32 [tokens][row_stride(kv_heads * head_dim)], cache [kv_heads][context][head_dim] as
//           rt/model/model.h says of its type.
// f16 is rounded to nearest even on every device; what no half can hold becomes the largest half.
// Errors    device_limit.
Status call_update_cache(const Caps& caps, const UpdateCacheArgs& args, KernelCall* call,
                         Error* error);

}  // namespace nbl
