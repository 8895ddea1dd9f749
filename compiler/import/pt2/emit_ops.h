// The ops that the walk emits for what no pattern takes in, one function each. All return the
// activation that the op writes.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

int32_t emit_unary(Context& context, Function function, int32_t x);
// function(x, alpha)
int32_t emit_scalar(Context& context, Function function, int32_t x, double alpha);
// function(a, b); b is an activation of the same columns or of one, or a weight that repeats. Add
// and sub take b times alpha.
int32_t emit_binary(Context& context, Function function, int32_t a, int32_t b, double alpha = 1);
int32_t emit_slice(Context& context, int32_t x, uint32_t offset, uint32_t count);
int32_t emit_cat(Context& context, const std::vector<int32_t>& parts);
int32_t emit_permute(Context& context, int32_t x, uint32_t heads);
int32_t emit_softmax(Context& context, int32_t x, double scale);
int32_t emit_rms_norm(Context& context, int32_t x, int32_t weight, uint32_t heads, double eps);

}  // namespace nbl::compiler::pt2
