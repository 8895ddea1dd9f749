// Products with weights, lookups in tables, and the int8 activations of 8da4w.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// x [..., K] times a weight [N, K], or [K, N] where it is transposed. bias: null for none.
Value linear(Context& context, const Elements& x, const ExpressionRef& weight, bool transposed,
             const ExpressionRef& bias);

// Rows of a table by token ids.
Value embedding(Context& context, const ExpressionRef& table, const Elements& tokens);

// The scales of activations that are rounded to int8, one pair a row of `columns`.
Value activation_scales(Context& context, const Elements& x, int64_t columns);
// x by way of int8 under these scales: what only a linear reads.
Value rounded_activation(Context& context, const Elements& x, const Elements& scales);

}  // namespace nbl::compiler::pt2
