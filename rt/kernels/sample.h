// sample: the next token from a row of logits, and the step buffer made ready for the step after
// it.
//
// Two dispatches with a barrier between them: argmax splits the row over the device, gives the
// logits their biases and penalties where the step has any, and leaves a winner a slice; sample
// takes the winners, with a temperature draws, and puts the logits back as they were.
// spirv/argmax.comp and spirv/sample.comp say how a token is chosen.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "spirv/step_state.h"

namespace nbl {

struct SampleArgs {
  uint32_t vocab;   // logits in a row, 1 or more
  uint32_t tokens;  // rows the recording has room for
  bool all_rows;  // the logits have a row a live token, the last one counts; else they have one row
};

// Workgroups of argmax: the slices that a row is split into.
uint32_t argmax_slices(const Caps& caps, uint32_t vocab);

// Bytes that argmax leaves for sample: 8 a slice and 8 a token whose logit it changed.
constexpr uint32_t argmax_partial_bytes(uint32_t slices) {
  return 8 * (slices + STEP_MOST_ADJUSTED);
}

// Bindings  step, logits (read and written), partial (written).
// Shapes    logits f32 [tokens or 1][row_stride(vocab)]. partial u32 [argmax_slices()][2]: an order
// key and the index, then
//           [STEP_MOST_ADJUSTED][2]: a token, or ~0 for none, and its logit as it was.
// Errors    device_limit.
Status call_argmax(const Caps& caps, const SampleArgs& args, KernelCall* call, Error* error);

// Bindings  step and logits (read and written), partial, results u32 (written at the step's
//           out_index, nothing where that is past its end).
// Errors    device_limit.
Status call_sample(const Caps& caps, const SampleArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
