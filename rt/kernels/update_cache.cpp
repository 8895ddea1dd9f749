#include "rt/kernels/update_cache.h"

#include "rt/kernels/cache_type.h"
#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "spirv/rope_update_cache.push.h"

namespace nbl {

Status call_update_cache(const Caps& caps, const UpdateCacheArgs& args, KernelCall* call,
                         Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0 && args.head_dim <= kMaxHeadDim);
  const uint32_t columns = args.kv_heads * args.head_dim;
  KernelCall made;
  made.spec_count = 3;
  made.spec[0] = 64;
  made.spec[1] = cache_mode(args.cache);
  made.spec[2] = 0;
  const uint32_t group_items =
      cache_group_items(args.cache == DType::i8, args.head_dim, made.spec[0]);
  const uint64_t items = uint64_t{args.tokens} * (columns / 4);
  NBL_TRY(pick(Family::rope_update_cache, caps, made.spec[0], 0, &made.variant, error));
  NBL_TRY(fold_items(caps, items, group_items, &made, error));
  set_push(&made,
           RopeUpdateCachePush{0, columns, columns, row_stride(columns), 0, 0, args.head_dim, 0, 1,
                               args.context, static_cast<uint32_t>(items), group_items, 0});
  *call = made;
  return {};
}

}  // namespace nbl
