#include "rt/kernels/rms_norm.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/rms_norm.push.h"

namespace nbl {

Status call_rms_norm(const Caps& caps, const RmsNormArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.columns > 0 && args.heads > 0 && args.columns % args.heads == 0);
  const uint32_t slice = args.columns / args.heads;
  // Slices that do not begin at vec4s are read element by element.
  const bool by_element = args.heads > 1 && slice % 4 != 0;
  const uint32_t width = by_element ? 1 : 4;
  const uint32_t stride = row_stride(args.columns) / width;
  const uint32_t units = args.heads == 1 ? stride : slice / width;
  // One workgroup a slice: wide ones want more lanes, up to the floor's workgroup. CPU
  // implementations pay for every lane.
  const bool scalar = (caps.features & kScalarLoads) != 0;
  const uint32_t local = scalar ? 8 : units > 64 ? 128 : 64;

  KernelCall made;
  NBL_TRY(pick(Family::rms_norm, caps, local, 0, &made.variant, error));
  made.spec_count = 2;
  made.spec[0] = local;
  made.spec[1] = by_element ? 1 : 0;
  set_push(&made, RmsNormPush{args.tokens, args.heads, slice, units, stride, args.eps});
  NBL_TRY(fold_groups(caps, uint64_t{args.tokens} * args.heads, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
