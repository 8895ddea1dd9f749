#include "rt/kernels/quantize_rows.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"

namespace nbl {

Status call_quantize_rows(const Caps& caps, const QuantizeRowsArgs& args, KernelCall* call,
                          Error* error) {
  NBL_ASSERT(args.columns > 0);
  const bool scalar = (caps.features & kScalarLoads) != 0;
  const uint32_t stride4 = row_stride(args.columns) / 4;
  const uint32_t local = scalar ? 8 : stride4 > 64 ? 128 : 64;
  KernelCall made;
  NBL_TRY(pick(Family::quantize_rows, caps, local, 0, &made.variant, error));
  made.spec_count = 1;
  made.spec[0] = local;
  const uint32_t flags =
      (args.last_row ? QUANTIZE_LAST_ROW : 0u) | (args.norm ? QUANTIZE_NORM : 0u);
  set_push(&made,
           QuantizeRowsPush{.columns = args.columns,
                            .stride4 = stride4,
                            .words = static_cast<uint32_t>(quantized_row_bytes(args.columns) / 4),
                            .flags = flags,
                            .eps = args.eps});
  NBL_TRY(fold_groups(caps, args.last_row ? 1 : args.tokens, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
