// Arithmetic on the values of a walk, whatever they are: numbers stay expressions, factors stay
// with the elements until something needs a tensor, and the rest becomes ops.
#pragma once

#include "compiler/import/pt2/kinds.h"

namespace nbl::compiler::pt2 {

// All: Errors  NodeError, where the runtime has nothing that computes it.
Value add(Context& context, const Value& a, const Value& b, double alpha);  // a + alpha * b
Value multiply(Context& context, const Value& a, const Value& b);
Value divide(Context& context, const Value& a, const Value& b);
Value negate(Context& context, const Value& a);
Value power(Context& context, const Elements& a, double exponent);
Value apply_function(Context& context, Function function, const Elements& a);

// mean(a) over the last dimension, or its sum.
Value mean_of_last(Context& context, const Elements& a, bool sum);

// x / sqrt(mean(x^2) + eps) * weight over the last dimension; no weight: null.
Value rms_norm(Context& context, const Elements& x, double eps, const ExpressionRef& weight);

}  // namespace nbl::compiler::pt2
