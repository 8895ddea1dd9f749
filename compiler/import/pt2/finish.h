// What a walk leaves open until all of the graph is known: how many positions there are, and with
// that the rotary tables and masks; and which ops nobody needs.
#pragma once

#include "compiler/import/pt2/walk.h"

namespace nbl::compiler::pt2 {

// The most positions that the caches, the assertions and the tables allow.
//
// Errors  NodeError, where that is none.
uint32_t position_limit(const Context& context, const Inputs& inputs);

// Ends the graph in a sample op on the program's logits and drops what does not lead there.
//
// Errors  NodeError.
void finish_graph(Context& context, const std::vector<Value>& outputs);

// Fills in what depends on the number of positions.
//
// Errors  ImportError.
void finish_positions(Context& context, uint32_t positions);

}  // namespace nbl::compiler::pt2
