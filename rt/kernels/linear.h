// linear_q4gsw and linear_q8gsw: activations times a 4-bit or 8-bit weight, with what is fused into
// it.
#pragma once

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "spirv/linear.push.h"

namespace nbl {

struct LinearArgs {
  uint32_t tokens;      // at most this many live tokens
  uint32_t rows;        // N; with swiglu twice the output columns, a multiple of 64
  uint32_t columns;     // K
  uint32_t group_size;  // a power of two, 8 to 256
  uint32_t row_begin;   // the window of weight rows that the bindings hold, a multiple of 32
  uint32_t row_count;   // padded rows, a multiple of 32
  bool norm;            // rms_norm of x first; only where linear_fuses_norm()
  bool bias;
  bool residual;
  bool swiglu;           // rows 2i, 2i+1 are gate, up; out[i] = silu(gate) * up
  bool last_row;         // only the last live token: one output row
  float eps;             // of the norm
  bool texture = false;  // the nibbles are in a sampled image
  uint32_t few = 0;  // see linear_few_tokens(); steps of at most so many tokens are not this one's
  bool f32_scales = false;
  bool gelu = false;        // with swiglu: gelu, by tanh, in place of silu
  bool eight_bits = false;  // q8_t16k4
};

// True where the kernel chosen for these arguments can normalise x itself: one row of x of whole
// vec4s, on a device that splits K over lanes.
bool linear_fuses_norm(const Caps& caps, const LinearArgs& args);

// Tokens up to which a step wants other kernels than one of args.tokens: then a window takes two
// dispatches, one planned for so many tokens and one for all with `few` set, and a step runs one of
// them. 0 where one dispatch serves all.
uint32_t linear_few_tokens(const Caps& caps, const LinearArgs& args);

// One dispatch a window of rows.
//
// Bindings  0 step, 1 x, 2 values of the window, 3 scales of the window, 4 out, 5 norm weight f32
//           [K], 6 bias f32 [N], 7 residual; absent ones are bound to x. x, out and residual are
//           whole: the window only moves the columns that are written. With texture, binding 2 is
//           the image that holds the window.
// Errors    device_limit.
Status call_linear(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error);

// The push constants that all kernels of linears take.
LinearPush linear_push(const LinearArgs& args);

}  // namespace nbl
