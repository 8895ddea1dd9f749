#include "compiler/import/pt2/arithmetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/pt2/attention.h"
#include "compiler/import/pt2/emit_ops.h"
#include "compiler/import/pt2/norm.h"
#include "compiler/import/pt2/rows.h"

namespace nbl::compiler::pt2 {
namespace {

using Kind = Source::Kind;

Value of_numbers(Context& context, const char* op, const Value& a, const Value& b,
                 double alpha = 1) {
  std::vector<ExpressionArgument> arguments = {{"self", std::get<ExpressionRef>(a)},
                                               {"other", std::get<ExpressionRef>(b)}};
  if (alpha != 1) arguments.push_back({"alpha", context.number(alpha)});
  return context.expressions.make(op, std::move(arguments), 0, context.node_name);
}

const ExpressionRef* as_numbers(const Value& value) {
  return std::get_if<ExpressionRef>(&value);
}

const Elements& as_elements(const Value& value) {
  if (const auto* elements = std::get_if<Elements>(&value)) return *elements;
  throw NodeError("computes with a value that is no tensor");
}

// The place of every element of `from` under the broadcast dims, counted in logical order.
std::vector<int64_t> spread(const Dims& from, const Dims& to) {
  return places(expanded(row_major(from), to));
}

std::vector<Term> terms_of(const Context& context, Element element) {
  if (element.source != kCombined) return {{.element = element}};
  const std::span<const Term> terms = context.combinations.terms(element);
  return {terms.begin(), terms.end()};
}

bool has_coefficients(const Context& context, const Elements& elements) {
  for (const Element& element : elements.list()) {
    for (const Term& term : terms_of(context, element)) {
      if (term.coefficient >= 0) return true;
    }
  }
  return false;
}

// Every element times its number, kept as a sum of one term or more.
Value weighted(Context& context, Elements elements, const ExpressionRef& numbers) {
  const bool varies = numbers->varies;
  if (varies && has_coefficients(context, elements)) elements = ordered(context, elements).view;
  const Numbers& values = context.numbers(numbers);
  const Dims dims = broadcast(elements.dims(), values.dims());
  const std::vector<Element> list = expanded_to(elements, dims).list();
  const std::vector<int64_t> index = spread(values.dims(), dims);
  const std::vector<double> factors = varies ? std::vector<double>{} : values.values();
  const int32_t coefficient =
      varies ? context.combinations.coefficient(numbers, values.dims()) : -1;
  std::vector<Element> result;
  for (size_t i = 0; i < list.size(); ++i) {
    std::vector<Term> terms = terms_of(context, list[i]);
    for (Term& term : terms) {
      if (varies) {
        term.coefficient = coefficient;
        term.coefficient_index = static_cast<int32_t>(index[i]);
      } else {
        term.factor *= static_cast<float>(factors[static_cast<size_t>(index[i])]);
      }
    }
    result.push_back(context.combinations.add(terms));
  }
  return make_elements(dims, std::move(result), elements.factor);
}

// One number, the same at every step.
std::optional<double> uniform(const Context& context, const ExpressionRef& numbers) {
  if (numbers->varies) return std::nullopt;
  const Numbers& values = context.numbers(numbers);
  if (values.layout.count() == 0 || values.layout.count() > 1 << 16) return std::nullopt;
  const std::vector<double> all = values.values();
  if (std::ranges::any_of(all, [&](double value) { return value != all[0]; })) return std::nullopt;
  return all[0];
}

Value multiply_by_numbers(Context& context, const Elements& a, const ExpressionRef& b) {
  if (is_kind(context, a, Kind::scores)) return scale_scores(context, a, b);
  Elements wide = expanded_to(a, broadcast(a.dims(), context.numbers(b).dims()));
  const bool one = context.numbers(b).layout.count() == 1;
  if (!one) {
    if (const std::optional<Elements> normed = with_gain(context, wide, b)) return *normed;
  }
  if (const std::optional<double> factor = uniform(context, b)) {
    wide.factor *= *factor;
    return wide;
  }
  return weighted(context, a, b);
}

// a * b of two tensors [T, C], or what a function before them makes of it.
int32_t product(Context& context, int32_t a, int32_t b) {
  if (a == b) return emit_unary(context, Function::square, a);
  for (const auto& [x, y] : {std::pair(a, b), std::pair(b, a)}) {
    const GraphOp* op = context.producer(x);
    if (op == nullptr || op->kind != OpKind::elementwise) continue;
    if (op->function == Function::sigmoid && op->inputs[0] == y) {
      return emit_unary(context, Function::silu, y);
    }
    if (op->function == Function::silu && context.graph.columns(y) == context.graph.columns(x)) {
      return context.emit({.kind = OpKind::swiglu, .name = {}, .inputs = {op->inputs[0], y}},
                          context.graph.columns(x));
    }
  }
  return emit_binary(context, Function::mul, a, b);
}

int32_t combined(Context& context, Function function, int32_t a, int32_t b, double alpha) {
  if (function != Function::mul) return emit_binary(context, function, a, b, alpha);
  return product(context, a, b);
}

// Both views show the same place of tensors of the same shape.
bool aligned(const Context& context, const Elements& a, const Elements& b) {
  if (!is_plain(context, a) || !is_plain(context, b)) return false;
  int32_t x = 0;
  int32_t y = 0;
  const Source* left = sole_source(context, a, &x);
  const Source* right = sole_source(context, b, &y);
  if (left == nullptr || right == nullptr || left->columns != right->columns) return false;
  const std::vector<Element> all_a = a.list();
  const std::vector<Element> all_b = b.list();
  return std::ranges::equal(all_a, all_b, {}, &Element::index, &Element::index);
}

// Every token has one element in the view, wherever it stands.
bool one_a_token(const Rows& rows) {
  return std::ranges::all_of(rows.elements[0],
                             [&](Element element) { return element == rows.elements[0][0]; });
}

Value of_two(Context& context, Function function, Elements a, Elements b, double alpha) {
  const Dims dims = broadcast(a.dims(), b.dims());
  const double factor = function == Function::mul   ? a.factor * b.factor
                        : function == Function::div ? a.factor / b.factor
                                                    : 1;
  if (function == Function::mul || function == Function::div) {
    a.factor = b.factor = 1;
  } else {
    alpha *= b.factor;
    b.factor = 1;
  }
  const bool commutes = function == Function::mul || (function == Function::add && alpha == 1);
  if (commutes && element_count(a.dims()) < element_count(dims)) std::swap(a, b);
  const Elements wide_b = expanded_to(b, dims);
  Elements result;
  if (a.factor == 1 && aligned(context, expanded_to(a, dims), wide_b)) {
    const Based x = based(context, expanded_to(a, dims));
    const Based y = based(context, wide_b);
    if (aligned(context, x.view, y.view)) {
      result = renamed(context, x.view, combined(context, function, x.tensor, y.tensor, alpha));
      result.factor = factor;
      return result;
    }
  }
  const Rows rows = rows_of(context, wide_b);
  if (one_a_token(rows) && rows.columns() > 1) {
    const Based x = based(context, expanded_to(a, dims));
    const Rows first = rows;
    const int32_t y = gathered(context, {first.elements[0][0]});
    result = renamed(context, x.view, emit_binary(context, function, x.tensor, y, alpha));
  } else {
    const Based x = ordered(context, expanded_to(a, dims));
    const Based y = ordered(context, wide_b);
    if (x.view.list().size() != y.view.list().size() || !aligned(context, x.view, y.view)) {
      throw NodeError("combines tensors whose tokens do not meet");
    }
    result = renamed(context, x.view, combined(context, function, x.tensor, y.tensor, alpha));
  }
  result.factor = factor;
  return result;
}

// The sum, element by element, of sums over one tensor.
Value summed(Context& context, const Elements& a, const Elements& b, double alpha) {
  const Dims dims = broadcast(a.dims(), b.dims());
  const std::vector<Element> left = expanded_to(a, dims).list();
  const std::vector<Element> right = expanded_to(b, dims).list();
  if (left == right && is_plain(context, a)) {
    Elements result = expanded_to(a, dims);
    result.factor = a.factor + alpha * b.factor;
    return result;
  }
  std::vector<Element> sums;
  for (size_t i = 0; i < left.size(); ++i) {
    std::vector<Term> terms = terms_of(context, left[i]);
    for (Term& term : terms)
      term.factor *= static_cast<float>(a.factor);
    for (Term term : terms_of(context, right[i])) {
      term.factor *= static_cast<float>(alpha * b.factor);
      terms.push_back(term);
    }
    sums.push_back(context.combinations.add(terms));
  }
  return make_elements(dims, std::move(sums));
}

Value add_tensors(Context& context, const Elements& a, const Elements& b, double alpha) {
  if (is_kind(context, a, Kind::scores) || is_kind(context, b, Kind::scores)) {
    throw NodeError("adds a computed tensor to attention scores");
  }
  int32_t x = 0;
  int32_t y = 0;
  const bool one_source =
      sole_source(context, a, &x) != nullptr && sole_source(context, b, &y) != nullptr && x == y;
  if (one_source) return summed(context, a, b, alpha);
  return of_two(context, alpha == -1 && b.factor == 1 ? Function::sub : Function::add, a, b,
                alpha == -1 && b.factor == 1 ? 1 : alpha);
}

// The numbers by column of the view's tensor; empty where tokens differ in them.
std::vector<double> by_column(const Context& context, const Based& base, const Numbers& numbers) {
  const int64_t columns = context.graph.columns(base.tensor);
  std::vector<double> values(static_cast<size_t>(columns), 0.0);
  std::vector<bool> known(values.size());
  const std::vector<Element> list = base.view.list();
  const std::vector<int64_t> index = spread(numbers.dims(), base.view.dims());
  const std::vector<double> all = numbers.values();
  for (size_t i = 0; i < list.size(); ++i) {
    const auto column = static_cast<size_t>(list[i].index % columns);
    const double value = all[static_cast<size_t>(index[i])];
    if (known[column] && values[column] != value) return {};
    values[column] = value;
    known[column] = true;
  }
  return values;
}

Value add_numbers(Context& context, const Elements& a, const ExpressionRef& b, double alpha) {
  if (is_kind(context, a, Kind::scores)) return mask_scores(context, a, b, alpha);
  if (is_kind(context, a, Kind::statistic)) return with_eps(context, a, b, alpha);
  const Numbers& numbers = context.numbers(b);
  const Elements wide = expanded_to(a, broadcast(a.dims(), numbers.dims()));
  const std::optional<double> one = fixed_number(context, b);
  if (one && *one == 0) return wide;
  if (b->varies && !one) {
    throw NodeError("adds numbers that change with the position, such as learned positions");
  }
  const Based base = based(context, wide);
  if (one)
    return renamed(context, base.view,
                   emit_scalar(context, Function::add, base.tensor, alpha * *one));
  std::vector<double> values = by_column(context, base, numbers);
  if (values.empty()) throw NodeError("adds other numbers to one token than to another");
  for (double& value : values)
    value *= alpha;
  const int32_t bias = context.vector_weight(b->name, values);
  const GraphOp* op = context.producer(base.tensor);
  const bool linear = op != nullptr && op->kind == OpKind::linear_q4gsw && op->inputs.size() == 2;
  if (!linear) {
    return renamed(context, base.view, emit_binary(context, Function::add, base.tensor, bias));
  }
  GraphOp with_bias = *op;
  with_bias.inputs.resize(4, kAbsent);
  with_bias.inputs[3] = bias;
  return renamed(context, base.view,
                 context.emit(std::move(with_bias), context.graph.columns(base.tensor)));
}

Value complex_product(Context& context, const Value& a, const Value& b) {
  const auto part = [](const Value& value, bool imaginary) -> Value {
    if (const auto* complex = std::get_if<Complex>(&value)) {
      return imaginary ? (*complex)->imaginary : (*complex)->real;
    }
    return imaginary ? Value(None{}) : value;
  };
  const auto times = [&](bool x, bool y) -> Value {
    const Value left = part(a, x);
    const Value right = part(b, y);
    if (std::holds_alternative<None>(left) || std::holds_alternative<None>(right)) return None{};
    return multiply(context, left, right);
  };
  const auto sum = [&](const Value& x, const Value& y, double alpha) -> Value {
    if (std::holds_alternative<None>(y)) return x;
    if (std::holds_alternative<None>(x)) return alpha == 1 ? y : negate(context, y);
    return add(context, x, y, alpha);
  };
  return std::make_shared<const ComplexValue>(
      ComplexValue{sum(times(false, false), times(true, true), -1),
                   sum(times(false, true), times(true, false), 1)});
}

}  // namespace

Value add(Context& context, const Value& a, const Value& b, double alpha) {
  if (as_numbers(a) && as_numbers(b)) return of_numbers(context, "aten.add", a, b, alpha);
  if (as_numbers(b)) return add_numbers(context, as_elements(a), *as_numbers(b), alpha);
  if (as_numbers(a)) {
    Elements scaled = as_elements(b);
    scaled.factor *= alpha;
    return add_numbers(context, scaled, *as_numbers(a), 1);
  }
  return add_tensors(context, as_elements(a), as_elements(b), alpha);
}

Value multiply(Context& context, const Value& a, const Value& b) {
  if (std::holds_alternative<Complex>(a) || std::holds_alternative<Complex>(b)) {
    return complex_product(context, a, b);
  }
  if (as_numbers(a) && as_numbers(b)) return of_numbers(context, "aten.mul", a, b);
  if (as_numbers(b)) return multiply_by_numbers(context, as_elements(a), *as_numbers(b));
  if (as_numbers(a)) return multiply_by_numbers(context, as_elements(b), *as_numbers(a));
  const Elements& x = as_elements(a);
  const Elements& y = as_elements(b);
  if (is_kind(context, x, Kind::statistic)) return normalized(context, y, x, false);
  if (is_kind(context, y, Kind::statistic)) return normalized(context, x, y, false);
  return of_two(context, Function::mul, x, y, 1);
}

Value divide(Context& context, const Value& a, const Value& b) {
  if (as_numbers(a) && as_numbers(b)) return of_numbers(context, "aten.div", a, b);
  if (as_numbers(b)) {
    const ExpressionRef inverse = context.expressions.make(
        "aten.reciprocal", {{"self", *as_numbers(b)}}, 0, (*as_numbers(b))->name);
    return multiply(context, a, inverse);
  }
  const Elements& y = as_elements(b);
  if (as_numbers(a)) {
    return multiply(context, apply_function(context, Function::reciprocal, y), a);
  }
  if (is_kind(context, y, Kind::statistic)) return normalized(context, as_elements(a), y, true);
  return of_two(context, Function::div, as_elements(a), y, 1);
}

Value negate(Context& context, const Value& a) {
  return multiply(context, a, context.number(-1));
}

Value power(Context& context, const Elements& a, double exponent) {
  if (exponent == 1) return a;
  if (exponent == 2) return apply_function(context, Function::square, a);
  if (exponent == 3) return multiply(context, apply_function(context, Function::square, a), a);
  if (exponent == 0.5) return apply_function(context, Function::sqrt, a);
  if (exponent == -0.5) return apply_function(context, Function::rsqrt, a);
  if (exponent == -1) return apply_function(context, Function::reciprocal, a);
  throw NodeError(fmt::format("raises a tensor to the power of {:g}", exponent));
}

Value apply_function(Context& context, Function function, const Elements& a) {
  if (is_kind(context, a, Kind::scores)) return cap_scores(context, a, function);
  if (is_kind(context, a, Kind::statistic)) return statistic_function(context, a, function);
  if (function == Function::neg) return negate(context, a);
  Elements x = a;
  // The factor of a square is squared: a norm's square keeps its operand's tensor.
  const double factor = function == Function::square ? a.factor * a.factor : 1;
  if (function == Function::square) x.factor = 1;
  const Based base = based(context, x);
  Elements result = renamed(context, base.view, emit_unary(context, function, base.tensor));
  result.factor = factor;
  return result;
}

}  // namespace nbl::compiler::pt2
