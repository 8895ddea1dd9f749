#include "rt/kernels/rope_update_cache.h"

#include "rt/kernels/cache_type.h"
#include "rt/kernels/fold.h"
#include "rt/kernels/rope.h"
#include "rt/kernels/variants.h"

namespace nbl {

Status call_rope_update_cache(const Caps& caps, const RopeUpdateCacheArgs& args, KernelCall* call,
                              Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0 && args.head_dim <= kMaxHeadDim);
  NBL_ASSERT(args.rotary_dim <= args.head_dim && args.rotary_dim % 2 == 0);
  const uint32_t q_columns = args.heads * args.head_dim;
  const uint32_t kv_columns = args.kv_heads * args.head_dim;
  const uint32_t q_stride = row_stride(q_columns);
  // With a norm, every head must begin at a multiple of its own length, in every row.
  const uint32_t q_row = args.norm ? div_up(q_stride, args.head_dim) * args.head_dim : q_stride;
  const uint64_t kv_items = uint64_t{args.tokens} * (kv_columns / 2);
  const uint64_t items = kv_items + uint64_t{args.tokens} * (q_row / 4);
  const bool whole_heads = args.norm || args.cache == DType::i8;
  return call_rope_kernel(
      caps, {args.cache, args.norm, false, whole_heads}, items,
      {q_columns, kv_columns, 2 * kv_columns, row_stride(q_columns + 2 * kv_columns), q_stride,
       q_row, args.head_dim, args.rotary_dim, rope_pair_offset(args.rotary_dim, args.half),
       args.context, static_cast<uint32_t>(kv_items), 0, args.eps, 0},
      call, error);
}

Status call_rope_kernel(const Caps& caps, const RopeUpdateCacheModes& modes, uint64_t items,
                        const RopeUpdateCachePush& push, KernelCall* call, Error* error) {
  KernelCall made;
  made.spec_count = 4;
  made.spec[0] = 64;
  made.spec[1] = cache_mode(modes.cache);
  made.spec[2] = modes.norm ? 1 : 0;
  made.spec[3] = modes.back ? 1 : 0;
  RopeUpdateCachePush filled = push;
  filled.group_items = cache_group_items(modes.whole_heads, push.head_dim, made.spec[0]);
  NBL_TRY(pick(Family::rope_update_cache, caps, made.spec[0], 0, &made.variant, error));
  NBL_TRY(fold_items(caps, items, filled.group_items, &made, error));
  set_push(&made, filled);
  *call = made;
  return {};
}

}  // namespace nbl
