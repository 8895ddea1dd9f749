#include "rt/kernels/copy.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/copy.push.h"

namespace nbl {

Status call_copy(const Caps& caps, const CopyArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.period > 0 && args.source_count > 0);
  CopyPush push{};
  push.rows = args.tokens;
  push.last_of = args.last_of;
  push.offset = args.offset;
  push.period = args.period;
  push.inner = args.inner;
  push.outer = args.outer;
  for (uint32_t s = 0; s < kMaxCopySources; ++s) {
    const bool used = s < args.source_count;
    push.begin[s] = used ? push.columns : UINT32_MAX;
    push.source[s] = used ? row_stride(args.columns[s]) : 0;
    push.columns += used ? args.taken[s] : 0;
  }
  push.stride = row_stride(push.columns);
  KernelCall made;
  made.spec_count = 1;
  made.spec[0] = 64;
  NBL_TRY(pick(Family::copy, caps, made.spec[0], 0, &made.variant, error));
  set_push(&made, push);
  NBL_TRY(fold_items(caps, uint64_t{args.tokens} * push.stride, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
