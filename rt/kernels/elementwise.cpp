#include "rt/kernels/elementwise.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/elementwise.push.h"

namespace nbl {
namespace {

static_assert(static_cast<uint32_t>(Function::add) == FUNCTION_ADD);
static_assert(static_cast<uint32_t>(Function::sigmoid) == FUNCTION_SIGMOID);
static_assert(static_cast<uint32_t>(Function::gelu_tanh) == FUNCTION_GELU_TANH);
static_assert(static_cast<uint32_t>(Function::exp) == FUNCTION_EXP);
static_assert(static_cast<uint32_t>(Function::reciprocal) == FUNCTION_RECIPROCAL);
static_assert(kFunctionCount == FUNCTION_RECIPROCAL + 1);

}  // namespace

Status call_elementwise(const Caps& caps, const ElementwiseArgs& args, KernelCall* call,
                        Error* error) {
  NBL_ASSERT(args.b_columns > 0 && args.columns % args.b_columns == 0);
  const uint32_t stride4 = row_stride(args.columns) / 4;
  KernelCall made;
  made.spec_count = 3;
  made.spec[0] = 64;
  made.spec[1] = args.function;
  made.spec[2] = args.operand;
  NBL_TRY(pick(Family::elementwise, caps, made.spec[0], 0, &made.variant, error));
  set_push(&made, ElementwisePush{args.tokens, args.columns, stride4, args.b_columns,
                                  args.b_rows ? row_stride(args.b_columns) : 0, args.alpha});
  NBL_TRY(fold_items(caps, uint64_t{args.tokens} * stride4, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
