// Joins dispatches of a phase that depend on one another into chains (rt/kernels/chain.h).
#pragma once

#include "rt/plan.h"

namespace nbl {

// Words of plan->records for a phase of so many dispatches; 0 where the plan makes no chains.
uint64_t chain_words(const Plan& plan, uint32_t dispatches);

// Says where what passes between dispatches lies should they become a chain, and returns the bytes
// of plan->messages for that. The phase's values have their bytes.
uint64_t place_messages(const Plan& plan, Phase* phase);

// Replaces each run of two and more dispatches that a chain takes by one, and fills plan->records.
// The phase's bindings are resolved; its barriers and their number are brought up to date.
void make_chains(Plan* plan, Phase* phase);

}  // namespace nbl
