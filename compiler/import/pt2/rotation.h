// Rotary embeddings, told by what they compute: every element of a head is a sum of itself times a
// cosine and its partner times a sine, however the graph wrote it.
#pragma once

#include "compiler/import/pt2/rows.h"

namespace nbl::compiler::pt2 {

// The tensor whose columns are the sums of `rows`: a rotation of heads of head_dim columns (0: as
// the sums repeat), or factors that are the same for every token.
//
// Errors  NodeError, where the sums are neither.
int32_t rotated(Context& context, const Rows& rows, uint32_t head_dim);

// Fills in a table for `positions` positions.
//
// Errors  NodeError, where the functions are no cosines and sines of position * frequency.
void fill_table(Context& context, const TableRequest& request, uint32_t positions);

}  // namespace nbl::compiler::pt2
