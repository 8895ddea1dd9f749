// Attention over a cache: from the product of queries and keys, by way of scale, cap, mask and
// softmax, to the product with the values, whether the graph spells it out or has an op for it.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// The product of two tensors [..., M, K] and [..., K, N]: scores, or attention's result.
Value matrix_product(Context& context, const Elements& a, const Elements& b);

Value scale_scores(Context& context, const Elements& scores, const ExpressionRef& factor);
Value mask_scores(Context& context, const Elements& scores, const ExpressionRef& mask,
                  double alpha);
Value cap_scores(Context& context, const Elements& scores, Function function);
Value softmax(Context& context, const Elements& x, int64_t dim);

// where(condition, fill, scores), fill being far below all scores.
Value fill_scores(Context& context, const Elements& scores, const ExpressionRef& condition,
                  double fill);

struct AttentionOperands {
  Elements q, k, v;                  // [..., T, D], [..., length, D] twice
  std::optional<double> scale = {};  // absent: 1 / sqrt(D)
  ExpressionRef mask = {};           // null: none
  bool truth_mask = false;           // false is out
  bool causal = false;               // by position
  bool live = false;                 // no position behind the newest is seen
};
Value attention(Context& context, AttentionOperands operands);

// Gives every attention of the graph its window or mask, for `positions` positions.
//
// Errors  NodeError, where a mask is none that the runtime has.
void apply_mask(Context& context, const MaskRequest& request, uint32_t positions);

}  // namespace nbl::compiler::pt2
