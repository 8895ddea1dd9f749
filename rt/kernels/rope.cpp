#include "rt/kernels/rope.h"

#include "rt/kernels/rope_update_cache.h"
#include "rt/model/model.h"

namespace nbl {

Status call_rope(const Caps& caps, const RopeArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0);
  NBL_ASSERT(args.rotary_dim <= args.head_dim && args.rotary_dim % 2 == 0);
  const uint32_t columns = args.heads * args.head_dim;
  const uint32_t stride = row_stride(columns);
  return call_rope_kernel(caps, {}, uint64_t{args.tokens} * (stride / 4),
                          {columns, 0, 0, stride, stride, stride, args.head_dim, args.rotary_dim,
                           rope_pair_offset(args.rotary_dim, args.half), UINT32_MAX, 0, 0, 0, 0},
                          call, error);
}

}  // namespace nbl
