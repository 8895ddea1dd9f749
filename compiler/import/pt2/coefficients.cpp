#include "compiler/import/pt2/coefficients.h"

#include <algorithm>

namespace nbl::compiler::pt2 {
namespace {

Dims split_index(const Dims& dims, int64_t index) {
  Dims at(dims.size());
  for (size_t i = dims.size(); i-- > 0;) {
    at[i] = index % dims[i];
    index /= dims[i];
  }
  return at;
}

double element_at(const Numbers& numbers, const Dims& at) {
  int64_t place = numbers.layout.offset;
  for (size_t i = 0; i < at.size(); ++i)
    place += at[i] * numbers.layout.strides[i];
  return numbers.at(place);
}

}  // namespace

Step step_at(const Context& context, int64_t token, int64_t position) {
  if (context.whole_sequence)
    return {0, std::max({position + 1, context.horizon, context.step.tokens})};
  return {position - token, context.step.tokens};
}

double value_at(const Context& context, const TableRequest::Function& function, int64_t token,
                int64_t position) {
  const ExpressionRef& expression = context.combinations.coefficient(function.coefficient);
  const Dims& walked = context.combinations.coefficient_dims(function.coefficient);
  const Numbers& numbers = evaluate(expression, step_at(context, token, position));
  Dims at = split_index(walked, function.indices.at(static_cast<size_t>(token)));
  if (context.whole_sequence) {
    // The dimension that grows with the tokens counts positions.
    for (size_t i = 0; i < at.size() && i < numbers.dims().size(); ++i) {
      if (numbers.dims()[i] != walked[i] || walked[i] == context.step.tokens) at[i] = position;
      if (numbers.dims()[i] != walked[i]) break;
    }
  }
  if (numbers.dims().size() != at.size()) throw NodeError("changes its rank with the position");
  for (size_t i = 0; i < at.size(); ++i) {
    if (at[i] >= numbers.dims()[i]) throw NodeError("changes its sizes with the position");
  }
  return function.factor * element_at(numbers, at);
}

}  // namespace nbl::compiler::pt2
