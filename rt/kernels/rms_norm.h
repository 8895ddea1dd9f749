// rms_norm: out = x / sqrt(mean(x^2) + eps) * weight, row by row or for each slice of a row.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

struct RmsNormArgs {
  uint32_t tokens;   // rows the recording has room for
  uint32_t columns;  // real columns of a row, 1 or more
  float eps;
  uint32_t heads = 1;  // equal slices of a row, each with a mean of its own
};

// Bindings  step, x, weight, out.
// Shapes    x, out f32 [tokens][row_stride(columns)], weight f32 [row_stride(columns / heads)]. All
//           padding is 0.
// Errors    device_limit.
Status call_rms_norm(const Caps& caps, const RmsNormArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
