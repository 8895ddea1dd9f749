// elementwise: out = f(a, b), element by element. spirv/elementwise.comp has the formulas.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

struct ElementwiseArgs {
  uint32_t tokens;         // rows the recording has room for
  uint32_t columns;        // of a and out
  uint32_t function;       // FUNCTION_* of spirv/elementwise.push.h
  uint32_t operand;        // OPERAND_*: what b is
  uint32_t b_columns = 1;  // with OPERAND_REPEAT: a divisor of columns
  bool b_rows = false;     // with OPERAND_REPEAT: b has a row a token
  float alpha = 1;         // add, sub: factor of b; with OPERAND_SCALAR the operand itself
};

// Bindings  step, a, b (any buffer where there is none), out.
// Shapes    a, out f32 [tokens][row_stride(columns)]; b the same, [tokens][row_stride(b_columns)]
// or
//           [b_columns]. The padding of out is written as 0.
// Errors    device_limit.
Status call_elementwise(const Caps& caps, const ElementwiseArgs& args, KernelCall* call,
                        Error* error);

}  // namespace nbl
