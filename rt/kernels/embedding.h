// embedding_q4gsw and embedding_q8gsw: gathers the weight rows of a step's tokens.
#pragma once

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/model/q4.h"

namespace nbl {

struct EmbeddingArgs {
  uint32_t tokens;   // at most this many live tokens
  uint32_t rows;     // V
  uint32_t columns;  // E
  Q4Format format;
  uint32_t row_begin;    // the window of weight rows that the bindings hold
  uint32_t row_count;    // with the padding of the format
  bool texture = false;  // the nibbles, tiled, are in a sampled image
};

// One dispatch a window; each writes the rows of the tokens inside its window and no others.
//
// Bindings  0 step, 1 values of the window, 2 scales of the window, 3 out [tokens, columns]. With
//           texture, binding 1 is the image that holds the window.
// Errors    device_limit.
Status call_embedding(const Caps& caps, const EmbeddingArgs& args, KernelCall* call, Error* error);

}  // namespace nbl
