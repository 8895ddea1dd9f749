// Phi 3, 3.5 and 4-mini: llama's layer. What differs are numbers: part of a head turns, LongRoPE
// has one set of frequencies for short contexts and one for long ones, and some models see a
// window. Files hold queries, keys and values in one matrix, and gate and up in another; they come
// apart at import.
//
// LongRoPE's set is chosen by the context that the model is compiled for.
//
// Source  Abdin et al., "Phi-3 Technical Report", 2024; Ding et al., "LongRoPE", 2024.
#include "compiler/arch/network.h"

namespace nbl::compiler {

int32_t phi3_layer(Network& net, const Layer& at, int32_t x) {
  return llama_layer(net, at, x);
}

}  // namespace nbl::compiler
