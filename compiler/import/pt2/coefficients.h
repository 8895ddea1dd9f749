// Factors that change with the position, as functions of the position.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// The function's value for the token-th token of a step that begins at `position` - token.
//
// Errors  NodeError, where the graph cannot be at that position.
double value_at(const Context& context, const TableRequest::Function& function, int64_t token,
                int64_t position);

// The step that has `position` as its token-th one, of as many tokens as the walk's.
Step step_at(const Context& context, int64_t token, int64_t position);

}  // namespace nbl::compiler::pt2
