// RMS normalisation: as an op of the graph, or as the chain of a square, its mean, a root and a
// product.
#pragma once

#include <optional>

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// A statistic plus alpha * eps.
Value with_eps(Context& context, const Elements& statistic, const ExpressionRef& eps, double alpha);
// Its root, or the inverse of that.
Value statistic_function(Context& context, const Elements& statistic, Function function);
// x times an inverse root, or x over a root, of the same x.
Value normalized(Context& context, const Elements& x, const Elements& statistic, bool divided);

// A norm without a weight times numbers that depend on the column of a slice: the norm with that
// weight. Nothing where x is something else.
std::optional<Elements> with_gain(Context& context, const Elements& x,
                                  const ExpressionRef& numbers);

}  // namespace nbl::compiler::pt2
