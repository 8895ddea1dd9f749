// How many operations the dispatches of a step do, estimated from the model.
#pragma once

#include <cstdint>

#include "rt/model/model.h"
#include "tools/common/kernel_times.h"

namespace nbl::tools {

// Sets `flops` of every dispatch of a step of `tokens` tokens from position `first` on, in an
// engine that keeps no logits. A multiply-add is two operations.
//
// Linears     2 * rows * columns for each token; where a weight is cut into windows, each has the
//             share that it has in the bytes.
// Attention   4 * heads * head_dim for each pair of a query and a position that it sees.
// Chains      the sum of theirs.
// The rest    one for each 32-bit word that the dispatch moves.
void estimate_flops(const Model& model, uint32_t tokens, uint32_t first, TimedStep* step);

}  // namespace nbl::tools
