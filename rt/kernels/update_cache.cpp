#include "rt/kernels/update_cache.h"

#include "rt/kernels/rope_update_cache.h"

namespace nbl {

Status call_update_cache(const Caps& caps, const UpdateCacheArgs& args, KernelCall* call,
                         Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0 && args.head_dim <= kMaxHeadDim);
  const uint32_t columns = args.kv_heads * args.head_dim;
  const uint64_t items = uint64_t{args.tokens} * (columns / 4);
  return call_rope_kernel(caps, {args.cache, false, false, args.cache == DType::i8}, items,
                          {0, columns, columns, row_stride(columns), 0, 0, args.head_dim, 0, 1,
                           args.context, static_cast<uint32_t>(items), 0, 0, 0},
                          call, error);
}

}  // namespace nbl
