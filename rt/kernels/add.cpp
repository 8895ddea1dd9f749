#include "rt/kernels/add.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/elementwise.push.h"

namespace nbl {

Status call_add(const Caps& caps, const AddArgs& args, KernelCall* call, Error* error) {
  const uint32_t stride4 = row_stride(args.columns) / 4;
  KernelCall made;
  made.spec_count = 1;
  made.spec[0] = 64;
  NBL_TRY(pick(Family::add, caps, made.spec[0], 0, &made.variant, error));
  set_push(&made, ElementwisePush{stride4});
  NBL_TRY(fold_items(caps, uint64_t{args.tokens} * stride4, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
