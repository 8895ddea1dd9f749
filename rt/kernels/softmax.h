// softmax: out = exp(scale * (x - m)) / sum(exp(scale * (x - m))), m the largest of a row.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

struct SoftmaxArgs {
  uint32_t tokens;   // rows the recording has room for
  uint32_t columns;  // real columns, 1 or more
  float scale;       // more than 0
};

// Bindings  step, x, out.
// Shapes    x, out f32 [tokens][row_stride(columns)]; the padding of out is written as 0.
// Errors    device_limit.
Status call_softmax(const Caps& caps, const SoftmaxArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
