#include "rt/kernels/update_cache.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/update_cache.push.h"

namespace nbl {

Status call_update_cache(const Caps& caps, const UpdateCacheArgs& args, KernelCall* call,
                         Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0);
  const uint32_t columns = args.kv_heads * args.head_dim;
  KernelCall made;
  made.spec_count = 1;
  made.spec[0] = 64;
  NBL_TRY(pick(Family::update_cache, caps, made.spec[0], 0, &made.variant, error));
  set_push(&made, UpdateCachePush{columns, row_stride(columns), args.head_dim, args.context});
  NBL_TRY(fold_items(caps, uint64_t{args.tokens} * (columns / 2), &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
