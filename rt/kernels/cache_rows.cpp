#include "rt/kernels/cache_rows.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/rope.h"
#include "rt/kernels/rope_update_cache.h"
#include "rt/kernels/variants.h"
#include "rt/model/cache.h"
#include "spirv/cache_rows.push.h"

namespace nbl {

Status call_cache_rows(const Caps& caps, const CacheRowsArgs& args, KernelCall* call,
                       Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0 && args.kv_heads > 0);
  const uint32_t scales = args.cache == DType::i8 ? args.kv_heads : 0;
  const uint32_t words = args.kv_heads * (cache_row_bytes(args.cache, args.head_dim) / 4);
  const uint32_t row_words = words - scales;
  KernelCall made;
  made.spec_count = 1;
  made.spec[0] = 64;
  NBL_TRY(pick(Family::cache_rows, caps, made.spec[0], 0, &made.variant, error));
  NBL_TRY(fold_items(caps, uint64_t{args.rows} * words, &made, error));
  set_push(&made, CacheRowsPush{row_words, row_words / args.kv_heads, scales, args.context,
                                args.rows, args.stride, args.offset});
  *call = made;
  return {};
}

Status call_shift_cache(const Caps& caps, const ShiftCacheArgs& args, KernelCall* call,
                        Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0 && args.head_dim <= kMaxHeadDim);
  NBL_ASSERT(args.rows <= args.shift && args.shift < args.context);
  const uint32_t columns = args.kv_heads * args.head_dim;
  const uint32_t row = args.values ? 2 * columns : columns;
  const uint64_t items = uint64_t{args.rows} * (row / 4);
  return call_rope_kernel(caps, {args.cache, false, true, args.cache == DType::i8}, items,
                          {0, columns, row, 0, 0, 0, args.head_dim, args.rotary_dim,
                           rope_pair_offset(args.rotary_dim, args.half), args.context,
                           static_cast<uint32_t>(items), 0, 0, args.shift},
                          call, error);
}

}  // namespace nbl
