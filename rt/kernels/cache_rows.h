// cache_rows: all heads' rows of a cache at some positions, to or from a window, bit by bit;
// shift_cache: to earlier positions of the same caches, keys turned back by as many.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/model/model.h"

namespace nbl {

struct CacheRowsArgs {
  uint32_t rows;  // of the window
  uint32_t kv_heads;
  uint32_t head_dim;  // a multiple of 4
  uint32_t context;   // positions the cache has room for
  uint32_t stride;    // words from one row of the window to the next
  uint32_t offset;    // of this cache's words in a row
  DType cache = DType::f16;
};

// Bindings  step, cache, window. Step: the first position, how many (`rows` at most), and
//           STEP_ROWS_LOAD (spirv/cache_rows.push.h).
// Shapes    window u32 [rows][stride]: the words of all heads, then an int8 cache's scales.
// Errors    device_limit.
Status call_cache_rows(const Caps& caps, const CacheRowsArgs& args, KernelCall* call, Error* error);

struct ShiftCacheArgs {
  uint32_t rows;  // positions that a step moves at most
  uint32_t kv_heads;
  uint32_t head_dim;    // a multiple of 4, at most 256
  uint32_t rotary_dim;  // of keys; 0 = they are not rotated
  bool half;
  uint32_t context;
  uint32_t shift;  // positions; at least `rows`
  bool values;     // a second cache moves as well
  DType cache = DType::f16;
};

// Rows input_pos + shift + t become rows input_pos + t, t < live tokens: as rope_update_cache would
// have written a key there. f16 and int8 rows of keys are rounded once more, all others keep their
// elements; a scale may change by its last bit.
//
// Bindings  step, k cache, table, k cache, k cache, v cache (or k cache), table; table: anything
//           where nothing is rotated.
// Errors    device_limit.
Status call_shift_cache(const Caps& caps, const ShiftCacheArgs& args, KernelCall* call,
                        Error* error);

}  // namespace nbl
