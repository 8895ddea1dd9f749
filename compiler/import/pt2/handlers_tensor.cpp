// Joining, gathering and casting tensors that depend on the tokens, and pairs that are complex
// numbers.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/call.h"
#include "compiler/import/pt2/rows.h"
#include "compiler/import/pt2/shape_ops.h"

namespace nbl::compiler::pt2 {
namespace {

using Values = std::vector<Value>;

// Parts with one factor, each carrying its own in its elements where they differ.
std::vector<Elements> with_one_factor(Context& context, std::vector<Elements> parts) {
  const double factor = parts.at(0).factor;
  const bool same =
      std::ranges::all_of(parts, [&](const Elements& part) { return part.factor == factor; });
  if (same) return parts;
  for (Elements& part : parts) {
    if (part.factor == 1) continue;
    std::vector<Element> scaled;
    for (const Element& element : part.list()) {
      std::vector<Term> terms = {{.element = element}};
      if (element.source == kCombined) {
        const std::span<const Term> known = context.combinations.terms(element);
        terms.assign(known.begin(), known.end());
      }
      for (Term& term : terms)
        term.factor *= static_cast<float>(part.factor);
      scaled.push_back(context.combinations.add(terms));
    }
    part = make_elements(part.dims(), std::move(scaled));
  }
  return parts;
}

Elements joined(Context& context, std::vector<Elements> parts, int64_t dim) {
  parts = with_one_factor(context, std::move(parts));
  Dims dims = parts[0].dims();
  const size_t axis = wrap_dim(dim, dims.size());
  dims[axis] = 0;
  for (const Elements& part : parts) {
    Dims other = part.dims();
    if (other.size() != dims.size()) throw NodeError("joins tensors of different ranks");
    dims[axis] += other[axis];
  }
  std::vector<Element> elements(static_cast<size_t>(element_count(dims)));
  int64_t start = 0;
  for (const Elements& part : parts) {
    const int64_t end = start + part.dims()[axis];
    const std::vector<int64_t> to =
        places(sliced(row_major(dims), static_cast<int64_t>(axis), start, end, 1));
    const std::vector<Element> from = part.list();
    if (from.size() != to.size()) throw NodeError("joins tensors of sizes that do not fit");
    for (size_t i = 0; i < to.size(); ++i)
      elements[static_cast<size_t>(to[i])] = from[i];
    start = end;
  }
  return make_elements(dims, std::move(elements), parts[0].factor);
}

std::vector<Elements> all_elements(const Call& call) {
  std::vector<Elements> parts;
  for (const Value& value : call.list("tensors")) {
    const auto* part = std::get_if<Elements>(&value);
    if (part == nullptr) throw NodeError("joins computed tensors with numbers");
    if (part->layout.count() > 0) parts.push_back(*part);
  }
  if (parts.empty()) throw NodeError("joins nothing");
  return parts;
}

Values run_cat(const Call& call) {
  return {joined(call.context, all_elements(call), call.integer("dim", 0))};
}

Values run_stack(const Call& call) {
  std::vector<Elements> parts = all_elements(call);
  const int64_t dim = call.integer("dim", 0);
  for (Elements& part : parts)
    part = part.with(unsqueezed(part.layout, dim));
  return {joined(call.context, std::move(parts), dim)};
}

// Element types do not matter between floats; token ids stay what they are.
Values run_cast(const Call& call) {
  const Elements& x = call.elements("self");
  const ScalarType type = call.type("dtype", ScalarType::float32);
  const bool tokens = is_kind(call.context, x, Source::Kind::tokens);
  if (tokens != (number_kind(type) == NumberKind::integer) && call.has("dtype")) {
    throw NodeError(fmt::format("turns {} into {}", tokens ? "token ids" : "a computed tensor",
                                scalar_type_name(type)));
  }
  return {x};
}

Values run_dropout(const Call& call) {
  if (call.flag("train", false) && call.real("p", 0) != 0) throw NodeError("drops out at random");
  return {call.value("input")};
}

// x[..., index, ...] along one dimension.
Elements taken(const Elements& x, int64_t dim, const Numbers& index) {
  const size_t axis = wrap_dim(dim, x.layout.rank());
  std::vector<double> indices = index.values();
  Dims dims = x.dims();
  dims[axis] = static_cast<int64_t>(indices.size());
  const std::vector<Element> from = x.list();
  const Layout source = row_major(x.dims());
  std::vector<Element> elements(static_cast<size_t>(element_count(dims)));
  for (size_t k = 0; k < indices.size(); ++k) {
    const auto at = static_cast<int64_t>(indices[k]);
    const std::vector<int64_t> read = places(selected(source, static_cast<int64_t>(axis), at));
    const std::vector<int64_t> write =
        places(selected(row_major(dims), static_cast<int64_t>(axis), static_cast<int64_t>(k)));
    for (size_t i = 0; i < read.size(); ++i) {
      elements[static_cast<size_t>(write[i])] = from[static_cast<size_t>(read[i])];
    }
  }
  Dims wanted = x.dims();
  wanted.erase(wanted.begin() + static_cast<std::ptrdiff_t>(axis));
  wanted.insert(wanted.begin() + static_cast<std::ptrdiff_t>(axis), index.dims().begin(),
                index.dims().end());
  return reshape(make_elements(dims, std::move(elements), x.factor), wanted);
}

Values run_index(const Call& call) {
  const std::vector<Value> indices = call.list("indices");
  std::optional<size_t> dim;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (std::holds_alternative<None>(indices[i])) continue;
    if (dim) throw NodeError("indexes several dimensions of a computed tensor");
    dim = i;
  }
  if (!dim) return {call.value("self")};
  const auto* index = std::get_if<ExpressionRef>(&indices[*dim]);
  if (index == nullptr) throw NodeError("indexes by a computed tensor");
  return {taken(call.elements("self"), static_cast<int64_t>(*dim), call.context.numbers(*index))};
}

Values run_index_select(const Call& call) {
  return {taken(call.elements("self"), call.integer("dim"),
                call.context.numbers(call.expression("index")))};
}

// The size of a dimension. A program asks only for those that are not fixed, so the token count and
// the position are known by their value.
Values run_sym_size(const Call& call) {
  Context& context = call.context;
  const Dims& dims = call.elements("self").dims();
  const int64_t size = dims.at(wrap_dim(call.integer("dim"), dims.size()));
  const auto live = [&](const char* op) { return context.expressions.leaf(op); };
  if (size == context.step.tokens) return {live("tokens")};
  if (size == context.step.position) return {live("position")};
  if (size == context.step.position + context.step.tokens) {
    return {add(context, live("position"), live("tokens"), 1)};
  }
  return {context.expressions.number(static_cast<double>(size), NumberKind::integer)};
}

// A tensor of one number, with the sizes of another.
Values filled(const Call& call, double value) {
  Context& context = call.context;
  ExpressionArgument::Integers sizes;
  for (const int64_t size : call.elements("self").dims()) {
    sizes.list.push_back(
        context.expressions.number(static_cast<double>(size), NumberKind::integer));
  }
  return {context.expressions.make(
      "aten.full", {{"size", sizes}, {"fill_value", context.number(value)}}, 0, context.node_name)};
}
Values run_full_like(const Call& call) {
  return filled(call, call.real("fill_value"));
}
Values run_zeros_like(const Call& call) {
  return filled(call, 0);
}
Values run_ones_like(const Call& call) {
  return filled(call, 1);
}

Value part_of_pair(const Call& call, const Value& value, int64_t index) {
  if (const auto* elements = std::get_if<Elements>(&value)) {
    return elements->with(selected(elements->layout, -1, index));
  }
  Context& context = call.context;
  const auto number = [&](int64_t n) {
    return context.expressions.number(static_cast<double>(n), NumberKind::integer);
  };
  return context.expressions.make(
      "aten.select",
      {{"self", std::get<ExpressionRef>(value)}, {"dim", number(-1)}, {"index", number(index)}}, 0,
      context.node_name);
}

Values run_view_as_complex(const Call& call) {
  const Value& self = call.value("self");
  return {std::make_shared<const ComplexValue>(
      ComplexValue{part_of_pair(call, self, 0), part_of_pair(call, self, 1)})};
}

Values run_view_as_real(const Call& call) {
  const auto* complex = std::get_if<Complex>(&call.value("self"));
  if (complex == nullptr) throw NodeError("takes the parts of a tensor that is not complex");
  std::vector<Elements> parts;
  for (const Value& value : {(*complex)->real, (*complex)->imaginary}) {
    const auto* part = std::get_if<Elements>(&value);
    if (part == nullptr) throw NodeError("takes the parts of complex numbers outside a rotation");
    parts.push_back(
        part->with(unsqueezed(part->layout, static_cast<int64_t>(part->layout.rank()))));
  }
  return {joined(call.context, std::move(parts), -1)};
}

Values run_polar(const Call& call) {
  Context& context = call.context;
  const ExpressionRef angle = call.expression("angle");
  const auto turned = [&](const char* op) -> Value {
    const ExpressionRef wave = context.expressions.make(op, {{"self", angle}}, 0, angle->name);
    return multiply(context, call.value("abs"), wave);
  };
  return {
      std::make_shared<const ComplexValue>(ComplexValue{turned("aten.cos"), turned("aten.sin")})};
}

Values run_complex(const Call& call) {
  return {
      std::make_shared<const ComplexValue>(ComplexValue{call.value("real"), call.value("imag")})};
}

// The choice of the largest logit, which the runtime makes itself.
Values run_argmax(const Call& call) {
  const Elements& x = call.elements("self");
  if (call.has("dim") && wrap_dim(call.integer("dim"), x.layout.rank()) + 1 != x.layout.rank()) {
    throw NodeError("takes the largest over another dimension than the last");
  }
  const Based base = ordered(call.context, x);
  const int32_t source =
      call.context.add_source({.kind = Source::Kind::choice, .tensor = base.tensor});
  return {whole_source(source, {})};
}

}  // namespace

std::vector<HandlerRow> tensor_handlers() {
  return {
      {"aten.cat", run_cat},
      {"aten.concat", run_cat},
      {"aten.stack", run_stack},
      {"aten.to", run_cast},
      {"aten._to_copy", run_cast},
      {"aten.dropout", run_dropout},
      {"aten.index", run_index},
      {"aten.index_select", run_index_select},
      {"aten.sym_size", run_sym_size},
      {"aten.full_like", run_full_like},
      {"aten.zeros_like", run_zeros_like},
      {"aten.ones_like", run_ones_like},
      {"aten.view_as_complex", run_view_as_complex},
      {"aten.view_as_real", run_view_as_real},
      {"aten.polar", run_polar},
      {"aten.complex", run_complex},
      {"aten.argmax", run_argmax},
  };
}

}  // namespace nbl::compiler::pt2
