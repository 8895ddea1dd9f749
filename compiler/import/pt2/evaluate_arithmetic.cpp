// Element by element: numbers and arrays of them, broadcast.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "compiler/import/pt2/evaluate.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Results = std::vector<Numbers>;
using Unary = double (*)(double);
using Binary = double (*)(double, double);

const Numbers& first(const Arguments& in) {
  for (const char* name : {"self", "a", "x", "input"}) {
    if (in.has(name)) return in.numbers(name);
  }
  return in.numbers("self");
}

const Numbers& second(const Arguments& in) {
  for (const char* name : {"other", "b", "exponent"}) {
    if (in.has(name)) return in.numbers(name);
  }
  return in.numbers("other");
}

Numbers combine(const Numbers& a, const Numbers& b, Binary function, NumberKind kind) {
  const Dims dims = broadcast(a.dims(), b.dims());
  const std::vector<int64_t> left = places(expanded(a.layout, dims));
  const std::vector<int64_t> right = places(expanded(b.layout, dims));
  std::vector<double> values(left.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = function(a.at(left[i]), b.at(right[i]));
  return make_numbers(dims, std::move(values), kind);
}

Numbers apply(const Numbers& a, Unary function, NumberKind kind) {
  std::vector<double> values = a.values();
  std::ranges::transform(values, values.begin(), function);
  return make_numbers(a.dims(), std::move(values), kind);
}

NumberKind wider(const Numbers& a, const Numbers& b) {
  return std::max(a.kind, b.kind);
}

Evaluator real_unary(Unary function) {
  return [function](const Arguments& in) -> Results {
    return {apply(first(in), function, NumberKind::real)};
  };
}
Evaluator kind_unary(Unary function) {
  return [function](const Arguments& in) -> Results {
    return {apply(first(in), function, first(in).kind)};
  };
}
Evaluator integer_unary(Unary function) {
  return [function](const Arguments& in) -> Results {
    return {apply(first(in), function, NumberKind::integer)};
  };
}
Evaluator wider_binary(Binary function) {
  return [function](const Arguments& in) -> Results {
    return {combine(first(in), second(in), function, wider(first(in), second(in)))};
  };
}
Evaluator boolean_binary(Binary function) {
  return [function](const Arguments& in) -> Results {
    return {combine(first(in), second(in), function, NumberKind::boolean)};
  };
}

// a + alpha * b, where sign is 1 or -1.
Results add_scaled(const Numbers& a, const Numbers& b, const Arguments& in, double sign) {
  const Numbers alpha = make_number(sign * in.real("alpha", 1), NumberKind::boolean);
  const Numbers scaled = combine(
      b, alpha, [](double x, double y) { return x * y; }, b.kind);
  return {combine(
      a, scaled, [](double x, double y) { return x + y; }, wider(a, b))};
}
Results add(const Arguments& in) {
  return add_scaled(first(in), second(in), in, 1);
}
Results sub(const Arguments& in) {
  return add_scaled(first(in), second(in), in, -1);
}
Results rsub(const Arguments& in) {
  return add_scaled(second(in), first(in), in, -1);
}

Results div(const Arguments& in) {
  const std::string mode = in.text("rounding_mode", "");
  const Binary function =
      mode == "floor"   ? Binary{[](double x, double y) { return std::floor(x / y); }}
      : mode == "trunc" ? Binary{[](double x, double y) { return std::trunc(x / y); }}
                        : Binary{[](double x, double y) { return x / y; }};
  const NumberKind kind = mode.empty() ? NumberKind::real : wider(first(in), second(in));
  return {combine(first(in), second(in), function, kind)};
}

double floor_mod(double x, double y) {
  return x - y * std::floor(x / y);
}

// On truth values, logical; else on the bits.
template <typename Function>
Results bitwise(const Arguments& in) {
  return {combine(
      first(in), second(in),
      [](double x, double y) {
        return static_cast<double>(Function()(static_cast<int64_t>(x), static_cast<int64_t>(y)));
      },
      wider(first(in), second(in)))};
}
Results bitwise_not(const Arguments& in) {
  const Numbers& a = first(in);
  if (a.kind == NumberKind::boolean) {
    return {apply(
        a, [](double x) { return x == 0 ? 1.0 : 0.0; }, a.kind)};
  }
  return {apply(
      a, [](double x) { return -x - 1; }, a.kind)};
}

Results logical_not(const Arguments& in) {
  return {apply(
      first(in), [](double x) { return x == 0 ? 1.0 : 0.0; }, NumberKind::boolean)};
}

// Keeps `wanted` where the other bound is absent.
Results clamp(const Arguments& in) {
  const double low = in.real("min", -kInfinity);
  const double high = in.real("max", kInfinity);
  std::vector<double> values = first(in).values();
  for (double& value : values)
    value = std::min(std::max(value, low), high);
  return {make_numbers(first(in).dims(), std::move(values), first(in).kind)};
}

Results where(const Arguments& in) {
  const Numbers& condition = in.numbers("condition");
  const Numbers& yes = in.numbers("self");
  const Numbers& no = in.numbers("other");
  const Dims dims = broadcast(condition.dims(), broadcast(yes.dims(), no.dims()));
  const std::vector<int64_t> at_condition = places(expanded(condition.layout, dims));
  const std::vector<int64_t> at_yes = places(expanded(yes.layout, dims));
  const std::vector<int64_t> at_no = places(expanded(no.layout, dims));
  std::vector<double> values(at_condition.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = condition.at(at_condition[i]) != 0 ? yes.at(at_yes[i]) : no.at(at_no[i]);
  }
  return {make_numbers(dims, std::move(values), wider(yes, no))};
}

Results masked_fill(const Arguments& in) {
  Arguments as_where;
  as_where.add("condition", in.numbers("mask"));
  as_where.add("self", in.numbers("value"));
  as_where.add("other", in.numbers("self"));
  return where(as_where);
}

// Casts: toward zero into integers, to 0 or 1 into truth values.
Numbers cast(const Numbers& from, NumberKind kind) {
  if (from.kind == kind) return from;
  if (kind == NumberKind::boolean) {
    return apply(
        from, [](double x) { return x != 0 ? 1.0 : 0.0; }, kind);
  }
  if (kind == NumberKind::integer) {
    return apply(
        from, [](double x) { return std::trunc(x); }, kind);
  }
  return {from.layout, kind, from.storage};
}
Results to(const Arguments& in) {
  const Numbers& from = first(in);
  if (in.has("other")) return {cast(from, in.numbers("other").kind)};
  const ScalarType type = in.type("dtype", ScalarType::unknown);
  return {type == ScalarType::unknown ? from : cast(from, number_kind(type))};
}
Results to_float(const Arguments& in) {
  return {cast(first(in), NumberKind::real)};
}

Results item(const Arguments& in) {
  return {make_number(first(in).only(), first(in).kind)};
}

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}
double silu(double x) {
  return x * logistic(x);
}
double sign(double x) {
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

std::vector<EvaluatorRow> unary_rows() {
  return {
      {"aten.cos", real_unary([](double x) { return std::cos(x); })},
      {"aten.sin", real_unary([](double x) { return std::sin(x); })},
      {"aten.tan", real_unary([](double x) { return std::tan(x); })},
      {"aten.exp", real_unary([](double x) { return std::exp(x); })},
      {"aten.exp2", real_unary([](double x) { return std::exp2(x); })},
      {"aten.log", real_unary([](double x) { return std::log(x); })},
      {"aten.log2", real_unary([](double x) { return std::log2(x); })},
      {"aten.sqrt", real_unary([](double x) { return std::sqrt(x); })},
      {"aten.rsqrt", real_unary([](double x) { return 1 / std::sqrt(x); })},
      {"aten.reciprocal", real_unary([](double x) { return 1 / x; })},
      {"aten.tanh", real_unary([](double x) { return std::tanh(x); })},
      {"aten.sigmoid", real_unary(logistic)},
      {"aten.silu", real_unary(silu)},
      {"aten.neg", kind_unary([](double x) { return -x; })},
      {"aten.abs", kind_unary([](double x) { return std::abs(x); })},
      {"aten.square", kind_unary([](double x) { return x * x; })},
      {"aten.sign", kind_unary(sign)},
      {"aten.relu", kind_unary([](double x) { return std::max(x, 0.0); })},
      {"aten.round", kind_unary([](double x) { return std::nearbyint(x); })},
      {"aten.floor", integer_unary([](double x) { return std::floor(x); })},
      {"aten.ceil", integer_unary([](double x) { return std::ceil(x); })},
      {"aten.trunc", integer_unary([](double x) { return std::trunc(x); })},
      {"aten.bitwise_not", bitwise_not},
      {"aten.logical_not", logical_not},
      {"aten.to", to},
      {"aten._to_copy", to},
      {"aten.to_float", to_float},
      {"aten.item", item},
      {"aten._local_scalar_dense", item},
      {"aten.clamp", clamp},
      {"aten.clamp_min", clamp},
      {"aten.clamp_max", clamp},
  };
}

std::vector<EvaluatorRow> binary_rows() {
  return {
      {"aten.add", add},
      {"aten.sub", sub},
      {"aten.rsub", rsub},
      {"aten.mul", wider_binary([](double x, double y) { return x * y; })},
      {"aten.div", div},
      {"aten.floor_divide", wider_binary([](double x, double y) { return std::floor(x / y); })},
      {"aten.remainder", wider_binary(floor_mod)},
      {"aten.pow", wider_binary([](double x, double y) { return std::pow(x, y); })},
      {"aten.maximum", wider_binary([](double x, double y) { return std::max(x, y); })},
      {"aten.minimum", wider_binary([](double x, double y) { return std::min(x, y); })},
      {"aten.eq", boolean_binary([](double x, double y) { return x == y ? 1.0 : 0.0; })},
      {"aten.ne", boolean_binary([](double x, double y) { return x != y ? 1.0 : 0.0; })},
      {"aten.lt", boolean_binary([](double x, double y) { return x < y ? 1.0 : 0.0; })},
      {"aten.le", boolean_binary([](double x, double y) { return x <= y ? 1.0 : 0.0; })},
      {"aten.gt", boolean_binary([](double x, double y) { return x > y ? 1.0 : 0.0; })},
      {"aten.ge", boolean_binary([](double x, double y) { return x >= y ? 1.0 : 0.0; })},
      {"aten.logical_and",
       boolean_binary([](double x, double y) { return x != 0 && y != 0 ? 1.0 : 0.0; })},
      {"aten.logical_or",
       boolean_binary([](double x, double y) { return x != 0 || y != 0 ? 1.0 : 0.0; })},
      {"aten.logical_xor",
       boolean_binary([](double x, double y) { return (x != 0) != (y != 0) ? 1.0 : 0.0; })},
      {"aten.bitwise_and", bitwise<std::bit_and<int64_t>>},
      {"aten.bitwise_or", bitwise<std::bit_or<int64_t>>},
      {"aten.__and__", bitwise<std::bit_and<int64_t>>},
      {"aten.__or__", bitwise<std::bit_or<int64_t>>},
      {"aten.bitwise_xor", bitwise<std::bit_xor<int64_t>>},
      {"aten.where", where},
      {"aten.masked_fill", masked_fill},
  };
}

}  // namespace

std::vector<EvaluatorRow> arithmetic_evaluators() {
  std::vector<EvaluatorRow> rows = unary_rows();
  for (const EvaluatorRow& row : binary_rows())
    rows.push_back(row);
  return rows;
}

}  // namespace nbl::compiler::pt2
