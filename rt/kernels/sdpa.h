// sdpa_with_kv_cache: attention over the cache. One dispatch, or two where the context is
// split: sdpa over its parts, then sdpa_combine.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/model/model.h"

namespace nbl {

struct SdpaArgs {
  uint32_t tokens;  // rows the recording has room for
  uint32_t heads;   // a multiple of kv_heads
  uint32_t kv_heads;
  uint32_t head_dim;    // a multiple of 4, at most 256
  uint32_t context;     // positions the caches have room for
  float scale;          // of q . k, usually 1 / sqrt(head_dim)
  uint32_t splits = 0;  // parts of the context; 0 = sdpa_splits()
  DType cache = DType::f16;
  uint32_t window = 0;       // keys that a query sees, its own included; 0 = all
  float softcap = 0;         // scores become cap * tanh(score / cap); 0 = as they are
  bool full = false;         // keys after the query's own are seen too
  uint32_t mask_stride = 0;  // columns of the mask that is added to the scores; 0 = no mask
};

// What lies between the two dispatches; nothing where splits is 1.
struct SdpaPartialBytes {
  uint64_t sums;     // f32 [splits][tokens][heads][head_dim]
  uint64_t max_sum;  // f32 [splits][tokens][heads][2]
};

// How many parts the context should be walked in at once: 1 where the queries fill the device.
uint32_t sdpa_splits(const Caps& caps, const SdpaArgs& args);

SdpaPartialBytes sdpa_partial_bytes(const SdpaArgs& args, uint32_t splits);

// Bindings  step, q, k cache, v cache, out, max_sum, mask. With splits > 1, out is the partial
//           `sums`; with splits == 1 it is the result, and max_sum is not touched (bind out again).
//           Without a mask, bind q there.
// Shapes    q, out f32 [tokens][row_stride(heads * head_dim)]; padding of out is 0. Caches as in
//           update_cache.h; rows past the last live position, and before the window, are not read.
//           mask f32 [context][mask_stride], a row a position.
// Errors    device_limit.
Status call_sdpa(const Caps& caps, const SdpaArgs& args, KernelCall* call, Error* error);

// Bindings  step, sums, max_sum, out. Only for splits > 1.
// Errors    device_limit.
Status call_sdpa_combine(const Caps& caps, const SdpaArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
