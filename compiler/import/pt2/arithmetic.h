// Arithmetic on the values of a walk, whatever they are: numbers stay expressions, factors stay
// with the elements until something needs a tensor, and the rest becomes ops.
#pragma once

#include "compiler/import/pt2/context.h"

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

// The source of all elements, where it is one; else null. Sums have the source of their terms.
const Source* sole_source(const Context& context, const Elements& elements, int32_t* index);
bool is_kind(const Context& context, const Elements& elements, Source::Kind kind);

// As many elements as the broadcast dims ask for.
Elements expanded_to(const Elements& elements, const Dims& dims);

}  // namespace nbl::compiler::pt2
