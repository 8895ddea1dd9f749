// Element by element, on tensors that depend on the tokens.
#include <fmt/format.h>

#include <cmath>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/attention.h"
#include "compiler/import/pt2/call.h"

namespace nbl::compiler::pt2 {
namespace {

using Values = std::vector<Value>;

Values run_add(const Call& call) {
  return {add(call.context, call.value("self"), call.value("other"), call.real("alpha", 1))};
}
Values run_sub(const Call& call) {
  return {add(call.context, call.value("self"), call.value("other"), -call.real("alpha", 1))};
}
Values run_rsub(const Call& call) {
  return {add(call.context, call.value("other"), call.value("self"), -call.real("alpha", 1))};
}
Values run_mul(const Call& call) {
  return {multiply(call.context, call.value("self"), call.value("other"))};
}
Values run_div(const Call& call) {
  if (call.has("rounding_mode")) throw NodeError("rounds a quotient");
  return {divide(call.context, call.value("self"), call.value("other"))};
}
Values run_neg(const Call& call) {
  return {negate(call.context, call.value("self"))};
}
Values run_pow(const Call& call) {
  const std::optional<double> exponent = fixed_number(call.context, call.value("exponent"));
  if (!exponent) throw NodeError("has an exponent that is no fixed number");
  return {power(call.context, call.elements("self"), *exponent)};
}

template <Function function>
Values run_function(const Call& call) {
  return {apply_function(call.context, function, call.elements("self"))};
}

Values run_gelu(const Call& call) {
  const std::string how = call.text("approximate", "none");
  return {apply_function(call.context, how == "tanh" ? Function::gelu_tanh : Function::gelu,
                         call.elements("self"))};
}

// Over the last dimension alone.
Values reduce_last(const Call& call, bool sum) {
  const Elements& x = call.elements("self");
  const bool all = !call.has("dim");
  const Dims dims = all ? Dims{} : call.integers("dim");
  if (dims.size() != 1 || wrap_dim(dims[0], x.layout.rank()) + 1 != x.layout.rank()) {
    throw NodeError("reduces other dimensions than the last");
  }
  Elements result = std::get<Elements>(mean_of_last(call.context, x, sum));
  if (!call.flag("keepdim", false)) {
    result = result.with(squeezed(result.layout, {-1}));
  }
  return {result};
}
Values run_mean(const Call& call) {
  return reduce_last(call, false);
}
Values run_sum(const Call& call) {
  return reduce_last(call, true);
}

Values run_softmax(const Call& call) {
  return {softmax(call.context, call.elements("self"), call.integer("dim"))};
}

Values run_rms_norm(const Call& call) {
  const Elements& x = call.elements("input");
  const Dims shape = call.integers("normalized_shape");
  if (shape.size() != 1 || x.dims().empty() || x.dims().back() != shape[0]) {
    throw NodeError(fmt::format("normalizes over {} of {}; the last dimension is supported",
                                text_of(shape), text_of(x.dims())));
  }
  constexpr double kFloat32Epsilon = 0x1p-23;
  return {rms_norm(call.context, x, call.real("eps", kFloat32Epsilon),
                   call.expression_or_null("weight"))};
}

// Scores that equal -inf are what a mask left out; that all of a row are is what no mask does.
Values run_eq(const Call& call) {
  const Elements& x = call.elements("self");
  const std::optional<double> other = fixed_number(call.context, call.value("other"));
  const bool masked =
      is_kind(call.context, x, Source::Kind::scores) && other && *other < 0 && std::isinf(*other);
  if (!masked) throw NodeError("compares a computed tensor");
  const int32_t test = call.context.add_source({.kind = Source::Kind::test});
  return {whole_source(test, x.dims())};
}

const Elements& test_of(const Call& call, std::string_view name) {
  const Elements& x = call.elements(name);
  if (is_kind(call.context, x, Source::Kind::test)) return x;
  throw NodeError("takes truth values of a computed tensor");
}

Values run_not(const Call& call) {
  return {test_of(call, "self")};
}

Values run_any(const Call& call) {
  const Elements& x = test_of(call, "self");
  Dims dims = x.dims();
  dims.at(wrap_dim(call.integer("dim"), dims.size())) = 1;
  if (!call.flag("keepdim", false)) throw NodeError("drops the dimension of a test");
  return {whole_source(x.whole, dims)};
}

// where(no row is all masked ? ..., weights) gives the weights; where(mask, scores, fill) masks.
Values run_where(const Call& call) {
  Context& context = call.context;
  if (call.has_elements("condition")) {
    test_of(call, "condition");
    for (const char* name : {"self", "other"}) {
      if (!call.has_elements(name)) continue;
      const std::string zero = std::string(name) == "self" ? "other" : "self";
      const Numbers& numbers = context.numbers(call.expression(zero));
      for (const double value : numbers.values()) {
        if (value != 0) throw NodeError("replaces rows that are all masked by numbers");
      }
      return {call.elements(name)};
    }
    throw NodeError("chooses between numbers by a computed tensor");
  }
  const bool keep = call.has_elements("self");
  const Elements& scores = call.elements(keep ? "self" : "other");
  const std::optional<double> fill = fixed_number(context, call.value(keep ? "other" : "self"));
  if (!fill || !is_kind(context, scores, Source::Kind::scores)) {
    throw NodeError("chooses between tensors");
  }
  ExpressionRef condition = call.expression("condition");
  if (keep) {
    condition =
        context.expressions.make("aten.logical_not", {{"self", condition}}, 0, condition->name);
  }
  return {fill_scores(context, scores, condition, *fill)};
}

Values run_masked_fill(const Call& call) {
  const std::optional<double> fill = fixed_number(call.context, call.value("value"));
  const Elements& scores = call.elements("self");
  if (!fill || !is_kind(call.context, scores, Source::Kind::scores)) {
    throw NodeError("fills a tensor that holds no attention scores");
  }
  return {fill_scores(call.context, scores, call.expression("mask"), *fill)};
}

}  // namespace

std::vector<HandlerRow> arithmetic_handlers() {
  return {
      {"aten.add", run_add},
      {"aten.sub", run_sub},
      {"aten.rsub", run_rsub},
      {"aten.mul", run_mul},
      {"aten.div", run_div},
      {"aten.neg", run_neg},
      {"aten.pow", run_pow},
      {"aten.square", run_function<Function::square>},
      {"aten.sqrt", run_function<Function::sqrt>},
      {"aten.rsqrt", run_function<Function::rsqrt>},
      {"aten.reciprocal", run_function<Function::reciprocal>},
      {"aten.sigmoid", run_function<Function::sigmoid>},
      {"aten.silu", run_function<Function::silu>},
      {"aten.tanh", run_function<Function::tanh>},
      {"aten.relu", run_function<Function::relu>},
      {"aten.exp", run_function<Function::exp>},
      {"aten.gelu", run_gelu},
      {"aten.mean", run_mean},
      {"aten.sum", run_sum},
      {"aten.softmax", run_softmax},
      {"aten._softmax", run_softmax},
      {"aten._safe_softmax", run_softmax},
      {"aten.rms_norm", run_rms_norm},
      {"aten.eq", run_eq},
      {"aten.logical_not", run_not},
      {"aten.any", run_any},
      {"aten.where", run_where},
      {"aten.masked_fill", run_masked_fill},
  };
}

}  // namespace nbl::compiler::pt2
