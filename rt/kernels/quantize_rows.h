// quantize_rows: rows of activations as int8, each with a scale and a zero point of its own.
//
// Source  the rule of spirv/quantize_rows.comp, written out in docs/kernels.md.
#pragma once

#include "rt/base/checked.h"
#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "spirv/quantize_rows.push.h"

namespace nbl {

struct QuantizeRowsArgs {
  uint32_t tokens;   // at most this many live rows
  uint32_t columns;  // K
  bool norm;         // rms_norm of x first
  bool last_row;     // only the last live row, in its own place
  float eps;         // of the norm
};

// Bytes of one row: K int8s in order, then copies of the zero point.
constexpr uint64_t quantized_row_bytes(uint32_t columns) {
  return align_up(uint64_t{columns}, uint64_t{QUANTIZED_ROW_ALIGN});
}
// Bytes of what comes with a row: scale f32, zero point i32.
inline constexpr uint64_t kRowParamsBytes = 8;

// Bindings  0 step, 1 x, 2 norm weight (x where there is none), 3 rows [tokens], 4 params [tokens].
// Shapes    x f32 [tokens][row_stride(K)], norm weight f32 [row_stride(K)]. Padding is 0.
// Errors    device_limit.
Status call_quantize_rows(const Caps& caps, const QuantizeRowsArgs& args, KernelCall* call,
                          Error* error);

}  // namespace nbl
