#include "rt/kernels/rms_norm.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/rms_norm.push.h"

namespace nbl {

Status call_rms_norm(const Caps& caps, const RmsNormArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.columns > 0);
  // One workgroup a row: wide rows want more lanes, up to the floor's workgroup. CPU
  // implementations pay for every lane.
  const bool scalar = (caps.features & kScalarLoads) != 0;
  const uint32_t stride4 = row_stride(args.columns) / 4;
  const uint32_t local = scalar ? 8 : stride4 > 64 ? 128 : 64;

  KernelCall made;
  NBL_TRY(pick(Family::rms_norm, caps, local, 0, &made.variant, error));
  made.spec_count = 1;
  made.spec[0] = local;
  set_push(&made, RmsNormPush{args.columns, stride4, args.eps});
  NBL_TRY(fold_groups(caps, args.tokens, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
