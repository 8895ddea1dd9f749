// linear_dq8ca_q4gsw: rows that quantize_rows made times a 4-bit weight.
#pragma once

#include "rt/kernels/linear.h"

namespace nbl {

// One dispatch a window of rows. args.norm is false: the norm comes before the quantization. A row
// has the same results, to the bit, whatever args.tokens, the window and the variant are.
//
// Bindings  0 step, 1 rows of quantize_rows, 2 nibbles of the window, 3 scales of the window, 4
// out,
//           5 params of quantize_rows, 6 bias f32 [N], 7 residual; absent ones are bound to the
//           rows. out and residual are whole.
// Errors    device_limit.
Status call_linear_dq8ca(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
