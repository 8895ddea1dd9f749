// Weights of linears and embeddings: parameters where they lie, weights that arrive quantized, and
// whatever the graph computes from these on the way.
#pragma once

#include "compiler/import/pt2/context.h"
#include "compiler/quantize/q4_rows.h"

namespace nbl::compiler::pt2 {

// The expression of a weight that embedding_4bit unpacks: its operands but for the indices.
inline constexpr const char* kUnpackOp = "quantized_decomposed.embedding_4bit";

// A view of something that is no view: a parameter, or the op that dequantizes one.
struct WeightView {
  ExpressionRef core;
  Layout layout;  // over the core's elements
};
WeightView weight_view(const Context& context, const ExpressionRef& expression);

// The graph's tensor for a matrix [rows, columns]. Asked twice for the same one, it gives the same.
//
// transposed  the expression is [columns, rows].
// Errors      NodeError.
int32_t matrix_weight(Context& context, const ExpressionRef& expression, bool transposed);

// As an op name: "layers.0.attention.wq.weight" -> "layers.0.attention.wq".
std::string module_of(const std::string& weight);

// The rows of a dequantizing op, where it is groupwise symmetric int4 in every respect; else
// nothing and the reason, as the end of a sentence about the tensor.
std::shared_ptr<Q4Rows> quantized_rows(Context& context, const ExpressionRef& dequantize,
                                       std::string* reason);
bool is_dequantize(const std::string& op);
// The constant that a dequantizing op unpacks; null where that is something else.
ExpressionRef packed_constant(const Context& context, const ExpressionRef& dequantize);

// Notes how the bytes of a constant are read.
//
// Errors  NodeError, where they were read differently before.
void claim_layout(Context& context, const ExpressionRef& constant, const std::string& layout);

}  // namespace nbl::compiler::pt2
