// linear_dq8ca_q4gsw: rows are rounded to int8 once, for all linears that read them.
#include "rt/kernels/linear_dq8ca.h"
#include "rt/kernels/quantize_rows.h"
#include "rt/plan/phase.h"

namespace nbl {

// Leaves the op's rows in quantized_.
Status PhaseBuilder::quantize(const Op& op, const LinearArgs& args, Error* error) {
  QuantizedRows made{.x = op.inputs[0],
                     .norm = op.inputs[2],
                     .eps = args.norm ? op.eps : 0,
                     .last_row = args.last_row};
  if (made.x == quantized_.x && made.norm == quantized_.norm && made.eps == quantized_.eps &&
      made.last_row == quantized_.last_row) {
    return {};
  }
  const QuantizeRowsArgs rows{.tokens = tokens_,
                              .columns = args.columns,
                              .norm = args.norm,
                              .last_row = args.last_row,
                              .eps = op.eps};
  KernelCall call;
  NBL_TRY(call_quantize_rows(plan_.caps, rows, &call, error));
  made.rows = scratch(tokens_ * quantized_row_bytes(args.columns));
  made.params = scratch(tokens_ * kRowParamsBytes);
  const Binding x = value(static_cast<uint32_t>(made.x), false);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, x);
  bind(dispatch, args.norm ? whole_weight(made.norm) : x);
  bind(dispatch, value(made.rows, true));
  bind(dispatch, value(made.params, true));
  close(dispatch);
  quantized_ = made;
  return {};
}

// args: of the whole weight.
Status PhaseBuilder::add_linear_dq8ca(const Op& op, LinearArgs args, uint32_t out, Error* error) {
  NBL_TRY(quantize(op, args, error));
  args.norm = false;
  const Tensor weight = model_.tensor(static_cast<uint32_t>(op.inputs[1]));
  const Binding rows = value(quantized_.rows, false);
  const uint32_t padded = q4_padded_rows(weight.shape[0]);
  const uint32_t most_rows = rows_within_time(weight, args.last_row ? 1 : tokens_);
  for (uint32_t row = 0; row < padded;) {
    Window window{};
    NBL_TRY(next_window(weight, row, most_rows, &window, error));
    args.row_begin = window.begin;
    args.row_count = window.count;
    KernelCall call;
    NBL_TRY(call_linear_dq8ca(plan_.caps, args, &call, error));
    Dispatch* dispatch = open(call);
    bind(dispatch, step(false));
    bind(dispatch, rows);
    bind(dispatch, window.data);
    bind(dispatch, window.scales);
    bind(dispatch, value(out, true));
    bind(dispatch, value(quantized_.params, false));
    bind(dispatch, args.bias ? whole_weight(op.inputs[3]) : rows);
    bind(dispatch, args.residual ? value(static_cast<uint32_t>(op.inputs[4]), false) : rows);
    close(dispatch);
    row += window.count;
  }
  if (tokens_ == 1 || args.last_row) rows_ = 1;
  return {};
}

}  // namespace nbl
