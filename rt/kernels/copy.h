// copy: columns of activations to other columns: what slice, cat and permute are.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

inline constexpr uint32_t kMaxCopySources = 4;

// Column c of out is column offset + k % period * inner + k / period * outer of a source, where k
// counts from the source's first column in out.
struct CopyArgs {
  uint32_t tokens;       // rows of out that the recording has room for
  uint32_t last_of = 0;  // not 0: out is one row, the last live one of this many
  uint32_t source_count = 1;
  uint32_t columns[kMaxCopySources];  // of the sources
  uint32_t taken[kMaxCopySources];    // columns of out that come from each, 1 or more
  uint32_t offset = 0;
  uint32_t period = UINT32_MAX;
  uint32_t inner = 1;
  uint32_t outer = 0;
};

// Bindings  step, four sources (any buffer where there are fewer), out.
// Shapes    sources f32 [tokens][row_stride(columns[s])], out f32 [tokens][row_stride(sum of
//           taken)]; the padding of out is written as 0.
// Errors    device_limit.
Status call_copy(const Caps& caps, const CopyArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
