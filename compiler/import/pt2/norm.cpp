#include "compiler/import/pt2/norm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/emit_ops.h"
#include "compiler/import/pt2/rows.h"

namespace nbl::compiler::pt2 {
namespace {

using Form = Statistic::Form;

Value changed(Context& context, const Elements& from, Statistic statistic) {
  int32_t index = 0;
  const Source* old = sole_source(context, from, &index);
  Source source = *old;
  source.detail = statistic;
  const int32_t added = context.add_source(std::move(source));
  Elements result = from;
  result.factor = 1;
  if (!from.storage) {
    result.whole = added;
    return result;
  }
  std::vector<Element> elements = *from.storage;
  for (Element& element : elements)
    element.source = added;
  result.storage = std::make_shared<const std::vector<Element>>(std::move(elements));
  return result;
}

Statistic statistic_of(const Context& context, const Elements& elements) {
  int32_t index = 0;
  const Source* source = sole_source(context, elements, &index);
  if (source == nullptr) throw NodeError("mixes the means of several tensors");
  Statistic statistic = std::get<Statistic>(source->detail);
  if (statistic.form == Form::square) {
    statistic.factor *= elements.factor;
    statistic.eps *= elements.factor;
  } else if (elements.factor != 1) {
    throw NodeError("scales the root of a mean of squares");
  }
  return statistic;
}

// Slices of `size` columns that the view's last dimension runs over; 0 where it does not.
uint32_t slices_of(const Context& context, const Elements& view, int64_t size) {
  int32_t index = 0;
  const Source* source = sole_source(context, view, &index);
  if (source == nullptr || size <= 0 || source->columns % size != 0) return 0;
  const std::vector<Element> list = view.list();
  for (size_t i = 0; i < list.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t first = list[i - i % static_cast<size_t>(size)].index;
    if (first % size != 0 || list[i].index != first + at % size) return 0;
  }
  return static_cast<uint32_t>(source->columns / size);
}

// x as a tensor whose slices of `size` columns the view's last dimension runs over.
Based sliced_rows(Context& context, const Elements& x, int64_t size, uint32_t* slices) {
  Based base = based(context, x);
  *slices = slices_of(context, base.view, size);
  if (*slices == 0) {
    base = ordered(context, base.view);
    *slices = slices_of(context, base.view, size);
  }
  if (*slices == 0) throw NodeError("normalizes over columns that do not lie together");
  return base;
}

int32_t ones(Context& context, uint32_t count) {
  return context.vector_weight("ones", std::vector<double>(count, 1.0));
}

}  // namespace

Value with_eps(Context& context, const Elements& elements, const ExpressionRef& eps, double alpha) {
  Statistic statistic = statistic_of(context, elements);
  const std::optional<double> value = fixed_number(context, eps);
  if (!value || statistic.form != Form::square) {
    throw NodeError("adds something that is no fixed number to a mean of squares");
  }
  statistic.eps += alpha * *value;
  return changed(context, elements, statistic);
}

Value statistic_function(Context& context, const Elements& elements, Function function) {
  Statistic statistic = statistic_of(context, elements);
  const Form form = statistic.form;
  if (form == Form::square && function == Function::rsqrt) {
    statistic.form = Form::inverse_root;
  } else if (form == Form::square && function == Function::sqrt) {
    statistic.form = Form::root;
  } else if (form != Form::square && function == Function::reciprocal) {
    statistic.form = form == Form::root ? Form::inverse_root : Form::root;
  } else {
    throw NodeError("computes something of a mean of squares that no norm does");
  }
  return changed(context, elements, statistic);
}

Value mean_of_last(Context& context, const Elements& a, bool sum) {
  int32_t index = 0;
  const Source* source = sole_source(context, a, &index);
  const GraphOp* op = source != nullptr && source->kind == Source::Kind::activation
                          ? context.producer(source->tensor)
                          : nullptr;
  const bool square = op != nullptr && op->kind == OpKind::elementwise &&
                      op->function == Function::square && is_plain(context, a);
  if (!square || a.dims().empty()) {
    throw NodeError("takes a mean or sum that is not one of squares, as a norm has it");
  }
  const int64_t size = a.dims().back();
  const uint32_t slices = slices_of(context, a, size);
  if (slices == 0) throw NodeError("takes the mean of columns that do not lie together");
  const Statistic statistic{.x = op->inputs[0],
                            .heads = slices,
                            .factor = sum ? a.factor * static_cast<double>(size) : a.factor};
  const int32_t added = context.add_source({.kind = Source::Kind::statistic,
                                            .rows = source->rows,
                                            .columns = slices,
                                            .detail = statistic});
  Dims dims = a.dims();
  dims.back() = 1;
  std::vector<Element> elements;
  const std::vector<Element> list = a.list();
  for (size_t i = 0; i < list.size(); i += static_cast<size_t>(size)) {
    elements.push_back({added, static_cast<int32_t>(list[i].index / size)});
  }
  return make_elements(dims, std::move(elements));
}

Value normalized(Context& context, const Elements& operand, const Elements& elements,
                 bool divided) {
  const Statistic statistic = statistic_of(context, elements);
  if (statistic.form != (divided ? Form::root : Form::inverse_root)) {
    throw NodeError("multiplies by a mean of squares in a way that no norm does");
  }
  Elements plain = operand;
  plain.factor = 1;
  Elements x = based(context, plain).view;
  x.factor = operand.factor;
  const Dims dims = broadcast(x.dims(), elements.dims());
  int32_t index = 0;
  const Source* source = sole_source(context, x, &index);
  if (source == nullptr || source->tensor != statistic.x || dims != x.dims()) {
    throw NodeError("normalizes another tensor than the one whose mean was taken");
  }
  const std::vector<Element> left = x.list();
  const std::vector<Element> right = expanded_to(elements, dims).list();
  const int64_t size = source->columns / statistic.heads;
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i].index / size != right[i].index) {
      throw NodeError("normalizes columns by the mean of others");
    }
  }
  // x f / sqrt(g mean(x^2) + eps) = f / sqrt(g) * x / sqrt(mean(x^2) + eps / g)
  const double eps = statistic.eps / statistic.factor;
  if (!(statistic.factor > 0) || !(eps > 0)) throw NodeError("normalizes without an epsilon");
  const int32_t out = emit_rms_norm(
      context, statistic.x, ones(context, static_cast<uint32_t>(size)), statistic.heads, eps);
  Elements result = renamed(context, x, out);
  result.factor = x.factor / std::sqrt(statistic.factor);
  if (std::abs(result.factor - 1) < 1e-12) result.factor = 1;
  return result;
}

std::optional<Elements> with_gain(Context& context, const Elements& x,
                                  const ExpressionRef& numbers) {
  int32_t index = 0;
  const Source* source = sole_source(context, x, &index);
  if (numbers->varies || source == nullptr || source->kind != Source::Kind::activation) return {};
  const GraphOp* found = context.producer(source->tensor);
  if (found == nullptr || found->kind != OpKind::rms_norm || !is_plain(context, x)) return {};
  const GraphOp norm = *found;
  const uint32_t size = context.graph.tensor(norm.inputs[1]).shape[0];
  if (norm.inputs[1] != ones(context, size)) return {};
  const Numbers& values = context.numbers(numbers);
  const std::vector<int64_t> places_of = places(expanded(values.layout, x.dims()));
  const std::vector<Element> list = x.list();
  std::vector<double> gain(size, 0.0);
  std::vector<bool> known(size);
  for (size_t i = 0; i < list.size(); ++i) {
    const auto column = static_cast<size_t>(list[i].index) % size;
    const double value = values.at(places_of[i]);
    if (known[column] && gain[column] != value) return {};
    gain[column] = value;
    known[column] = true;
  }
  if (std::ranges::count(known, false) > 0) return {};
  for (double& value : gain)
    value *= x.factor;
  const int32_t out =
      emit_rms_norm(context, norm.inputs[0], context.vector_weight(numbers->name, gain),
                    norm.heads == 0 ? 1 : norm.heads, static_cast<double>(norm.eps));
  Elements result = renamed(context, x, out);
  result.factor = 1;
  return result;
}

Value rms_norm(Context& context, const Elements& x, double eps, const ExpressionRef& weight) {
  if (!(eps > 0)) throw NodeError("normalizes without an epsilon");
  // A factor on x is one on x^2 and so on eps.
  Elements plain = x;
  plain.factor = 1;
  uint32_t slices = 0;
  const Based base = sliced_rows(context, plain, x.dims().back(), &slices);
  const auto size = static_cast<uint32_t>(x.dims().back());
  const int32_t out =
      emit_rms_norm(context, base.tensor, ones(context, size), slices, eps / (x.factor * x.factor));
  Elements result = renamed(context, base.view, out);
  result.factor = x.factor < 0 ? -1 : 1;
  return weight ? multiply(context, result, weight) : Value(result);
}

}  // namespace nbl::compiler::pt2
