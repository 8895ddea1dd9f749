#include "rt/kernels/softmax.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/softmax.push.h"

namespace nbl {

Status call_softmax(const Caps& caps, const SoftmaxArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.columns > 0);
  // One workgroup a row. CPU implementations pay for every lane.
  const bool scalar = (caps.features & kScalarLoads) != 0;
  const uint32_t local = scalar ? 8 : args.columns > 256 ? 128 : 64;
  KernelCall made;
  NBL_TRY(pick(Family::softmax, caps, local, 0, &made.variant, error));
  made.spec_count = 1;
  made.spec[0] = local;
  set_push(&made, SoftmaxPush{args.tokens, args.columns, row_stride(args.columns), args.scale});
  NBL_TRY(fold_groups(caps, args.tokens, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
