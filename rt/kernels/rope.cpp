#include "rt/kernels/rope.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/rope.push.h"

namespace nbl {

Status call_rope(const Caps& caps, const RopeArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.head_dim > 0 && args.rotary_dim <= args.head_dim && args.rotary_dim % 2 == 0);
  const uint32_t columns = args.heads * args.head_dim;
  const uint32_t stride = row_stride(columns);
  KernelCall made;
  made.spec_count = 1;
  made.spec[0] = 64;
  NBL_TRY(pick(Family::rope, caps, made.spec[0], 0, &made.variant, error));
  set_push(&made, RopePush{columns, stride, args.head_dim, args.rotary_dim,
                           rope_pair_offset(args.rotary_dim, args.half)});
  NBL_TRY(fold_items(caps, uint64_t{args.tokens} * stride, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
