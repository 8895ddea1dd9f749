#include "compiler/import/pt2/linear.h"

#include <fmt/format.h>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/rows.h"
#include "compiler/import/pt2/weights.h"

namespace nbl::compiler::pt2 {
namespace {

// Where x is an activation by way of int8: the activation itself.
bool unrounded(Context& context, Elements* x) {
  int32_t index = 0;
  const Source* source = sole_source(context, *x, &index);
  if (source == nullptr || !source->rounded) return false;
  *x = renamed(context, *x, source->tensor);
  return true;
}

}  // namespace

Value linear(Context& context, const Elements& operand, const ExpressionRef& weight,
             bool transposed_weight, const ExpressionRef& bias) {
  const int32_t matrix = matrix_weight(context, weight, transposed_weight);
  const std::vector<uint32_t> shape = context.graph.tensor(matrix).shape;
  Elements x = operand;
  const bool rounded = unrounded(context, &x);
  if (x.dims().empty() || x.dims().back() != shape[1]) {
    throw NodeError(
        fmt::format("multiplies {} by a weight of {} columns", text_of(x.dims()), shape[1]));
  }
  const Based base = ordered(context, x);
  if (context.graph.columns(base.tensor) != shape[1]) {
    throw NodeError("multiplies parts of a row, such as single heads, by a weight");
  }
  const std::string name = module_of(context.graph.tensor(matrix).name);
  const int32_t out =
      context.emit({.kind = rounded ? OpKind::linear_dq8ca_q4gsw : OpKind::linear_q4gsw,
                    .name = name,
                    .inputs = {base.tensor, matrix}},
                   shape[0]);
  // Every K elements of one token become the N of the same token.
  const int32_t source = context.activation_source(out);
  const std::vector<Element> list = base.view.list();
  std::vector<Element> elements;
  for (size_t i = 0; i < list.size(); i += shape[1]) {
    const int64_t token = list[i].index / static_cast<int64_t>(shape[1]);
    for (uint32_t n = 0; n < shape[0]; ++n)
      elements.push_back({source, static_cast<int32_t>(token * int64_t{shape[0]} + n)});
  }
  Dims dims = x.dims();
  dims.back() = shape[0];
  const Elements result = make_elements(dims, std::move(elements));
  return bias ? add(context, result, bias, 1) : Value(result);
}

Value embedding(Context& context, const ExpressionRef& table, const Elements& tokens) {
  int32_t index = 0;
  const Source* source = sole_source(context, tokens, &index);
  if (source == nullptr || source->kind != Source::Kind::tokens) {
    throw NodeError("looks up something else than the token ids");
  }
  const int32_t token_ids = source->tensor;
  const int32_t matrix = matrix_weight(context, table, false);
  const uint32_t columns = context.graph.tensor(matrix).shape[1];
  const int32_t out = context.emit({.kind = OpKind::embedding_q4gsw,
                                    .name = module_of(context.graph.tensor(matrix).name),
                                    .inputs = {token_ids, matrix}},
                                   columns);
  const int32_t rows = context.activation_source(out);
  std::vector<Element> elements;
  for (const Element& token : tokens.list()) {
    for (uint32_t column = 0; column < columns; ++column)
      elements.push_back(
          {rows, token.index * static_cast<int32_t>(columns) + static_cast<int32_t>(column)});
  }
  Dims dims = tokens.dims();
  dims.push_back(columns);
  return make_elements(dims, std::move(elements));
}

Value activation_scales(Context& context, const Elements& x, int64_t columns) {
  const Based base = ordered(context, x);
  if (context.graph.columns(base.tensor) != columns || x.dims().back() != columns) {
    throw NodeError("quantizes activations by other blocks than whole rows");
  }
  const int32_t source = context.add_source({.kind = Source::Kind::scales,
                                             .tensor = base.tensor,
                                             .rows = context.step.tokens,
                                             .columns = 1});
  Dims dims = x.dims();
  dims.pop_back();
  std::vector<Element> elements;
  const std::vector<Element> list = base.view.list();
  for (size_t i = 0; i < list.size(); i += static_cast<size_t>(columns)) {
    elements.push_back({source, static_cast<int32_t>(list[i].index / columns)});
  }
  return make_elements(dims, std::move(elements));
}

Value rounded_activation(Context& context, const Elements& x, const Elements& scales) {
  int32_t index = 0;
  const Source* source = sole_source(context, scales, &index);
  if (source == nullptr || source->kind != Source::Kind::scales) {
    throw NodeError("quantizes activations by scales that are not those of their own rows");
  }
  const int32_t tensor = source->tensor;
  const Based base = ordered(context, x);
  if (base.tensor != tensor) {
    throw NodeError("quantizes activations by the scales of another tensor");
  }
  const int32_t rounded = context.add_source({.kind = Source::Kind::activation,
                                              .tensor = tensor,
                                              .rows = context.step.tokens,
                                              .columns = context.graph.columns(tensor),
                                              .rounded = true});
  std::vector<Element> elements = base.view.list();
  for (Element& element : elements)
    element.source = rounded;
  return make_elements(x.dims(), std::move(elements));
}

}  // namespace nbl::compiler::pt2
