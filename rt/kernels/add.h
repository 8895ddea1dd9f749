// add: out = a + b, element by element.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

struct AddArgs {
  uint32_t tokens;   // rows the recording has room for
  uint32_t columns;  // real columns
};

// Bindings  step, a, b, out.
// Shapes    a, b, out f32 [tokens][row_stride(columns)]; the padding of out is f of the padding: 0.
// Errors    device_limit.
Status call_add(const Caps& caps, const AddArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
