// Ops on whole activations that are neither weights nor attention: functions, moved columns,
// softmax.
#include "rt/kernels/copy.h"
#include "rt/kernels/elementwise.h"
#include "rt/kernels/softmax.h"
#include "rt/plan/phase.h"
#include "spirv/elementwise.push.h"

namespace nbl {
namespace {

uint32_t id_of(int32_t tensor) {
  return static_cast<uint32_t>(tensor);
}

}  // namespace

Status PhaseBuilder::add_elementwise(const Op& op, Error* error) {
  const uint32_t a = id_of(op.inputs[0]);
  ElementwiseArgs args{.tokens = rows_,
                       .columns = model_.tensor(a).columns(),
                       .function = static_cast<uint32_t>(op.function),
                       .operand = OPERAND_SCALAR,
                       .alpha = op.alpha};
  if (op.kind != OpKind::elementwise) {
    args.function = op.kind == OpKind::add ? FUNCTION_ADD : FUNCTION_SWIGLU;
    args.alpha = 1;
  }
  Binding second = value(a, false);
  if (op.inputs[1] >= 0) {
    const Tensor b = model_.tensor(id_of(op.inputs[1]));
    args.b_rows = b.role == Role::activation;
    args.b_columns = b.columns();
    const bool same = args.b_rows && args.b_columns == args.columns;
    args.operand = same ? OPERAND_SAME : OPERAND_REPEAT;
    second = args.b_rows ? value(id_of(op.inputs[1]), false) : whole_weight(op.inputs[1]);
  }
  KernelCall call;
  NBL_TRY(call_elementwise(plan_.caps, args, &call, error));
  const uint32_t out = define(op.outputs[0], rows_, args.columns);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(a, false));
  bind(dispatch, second);
  bind(dispatch, value(out, true));
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_copy(const Op& op, Error* error) {
  const uint32_t columns = model_.tensor(id_of(op.outputs[0])).columns();
  CopyArgs args{.tokens = rows_, .source_count = op.input_count, .columns = {}, .taken = {}};
  for (uint32_t i = 0; i < op.input_count; ++i) {
    args.columns[i] = model_.tensor(id_of(op.inputs[i])).columns();
    args.taken[i] = op.kind == OpKind::cat ? args.columns[i] : columns;
  }
  if (op.kind == OpKind::slice) args.offset = op.offset;
  if (op.kind == OpKind::permute) {
    args.period = op.heads;
    args.inner = op.head_dim;
    args.outer = 1;
  }
  KernelCall call;
  NBL_TRY(call_copy(plan_.caps, args, &call, error));
  const uint32_t out = define(op.outputs[0], rows_, columns);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  for (uint32_t i = 0; i < kMaxCopySources; ++i)
    bind(dispatch, value(id_of(op.inputs[i < op.input_count ? i : 0]), false));
  bind(dispatch, value(out, true));
  close(dispatch);
  return {};
}

// Row 0 of `out` becomes the last live row of `x`.
Status PhaseBuilder::add_last_row(uint32_t x, uint32_t columns, uint32_t out, Error* error) {
  const CopyArgs args{.tokens = 1, .last_of = rows_, .columns = {columns}, .taken = {columns}};
  KernelCall call;
  NBL_TRY(call_copy(plan_.caps, args, &call, error));
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  for (uint32_t i = 0; i < kMaxCopySources; ++i)
    bind(dispatch, value(x, false));
  bind(dispatch, value(out, true));
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_softmax(const Op& op, Error* error) {
  const uint32_t x = id_of(op.inputs[0]);
  const uint32_t columns = model_.tensor(x).columns();
  const SoftmaxArgs args{.tokens = rows_, .columns = columns, .scale = op.scale};
  KernelCall call;
  NBL_TRY(call_softmax(plan_.caps, args, &call, error));
  const uint32_t out = define(op.outputs[0], rows_, columns);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(x, false));
  bind(dispatch, value(out, true));
  close(dispatch);
  return {};
}

}  // namespace nbl
