// Arrays from sizes: ranges, constants, triangles.
#include <cmath>

#include "compiler/import/pt2/evaluate.h"

namespace nbl::compiler::pt2 {
namespace {

using Results = std::vector<Numbers>;

NumberKind kind_of(const Arguments& in, NumberKind fallback) {
  const ScalarType type = in.type("dtype", ScalarType::unknown);
  return type == ScalarType::unknown ? fallback : number_kind(type);
}

Results filled(const Dims& dims, double value, NumberKind kind) {
  // One stored element behind every index.
  const Numbers one = make_number(value, kind);
  return {one.with(expanded(one.layout, dims))};
}

Results arange(const Arguments& in) {
  const double start = in.real("start", 0);
  const double step = in.real("step", 1);
  const double count = std::ceil((in.real("end") - start) / step);
  if (!(count >= 0 && count <= static_cast<double>(most_elements()))) {
    throw NodeError("has a range of no use");
  }
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = start + step * static_cast<double>(i);
  NumberKind kind = in.numbers("end").kind;
  if (in.has("start")) kind = std::max(kind, in.numbers("start").kind);
  if (in.has("step")) kind = std::max(kind, in.numbers("step").kind);
  const auto size = static_cast<int64_t>(values.size());
  return {make_numbers({size}, std::move(values), kind_of(in, kind))};
}

Results full(const Arguments& in) {
  return filled(in.integers("size"), in.real("fill_value"),
                kind_of(in, in.numbers("fill_value").kind));
}
Results zeros(const Arguments& in) {
  return filled(in.integers("size"), 0, kind_of(in, NumberKind::real));
}
Results ones(const Arguments& in) {
  return filled(in.integers("size"), 1, kind_of(in, NumberKind::real));
}
Results full_like(const Arguments& in) {
  const Numbers& self = in.numbers("self");
  return filled(self.dims(), in.real("fill_value"), kind_of(in, self.kind));
}
Results zeros_like(const Arguments& in) {
  const Numbers& self = in.numbers("self");
  return filled(self.dims(), 0, kind_of(in, self.kind));
}
Results ones_like(const Arguments& in) {
  const Numbers& self = in.numbers("self");
  return filled(self.dims(), 1, kind_of(in, self.kind));
}
Results new_full(const Arguments& in) {
  return filled(in.integers("size"), in.real("fill_value"), kind_of(in, in.numbers("self").kind));
}
Results new_zeros(const Arguments& in) {
  return filled(in.integers("size"), 0, kind_of(in, in.numbers("self").kind));
}
Results new_ones(const Arguments& in) {
  return filled(in.integers("size"), 1, kind_of(in, in.numbers("self").kind));
}

Results scalar_tensor(const Arguments& in) {
  const Numbers& value = in.numbers("s");
  return {make_number(value.only(), kind_of(in, value.kind))};
}

template <bool keep_lower>
Results triangle(const Arguments& in) {
  const Numbers& self = in.numbers("self");
  const int64_t diagonal = in.integer("diagonal", 0);
  if (self.dims().size() < 2) throw NodeError("wants a matrix");
  std::vector<double> values = self.values();
  const int64_t columns = self.dims().back();
  const int64_t rows = self.dims()[self.dims().size() - 2];
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t distance = at % columns - at / columns % rows;
    if (keep_lower ? distance > diagonal : distance < diagonal) values[i] = 0;
  }
  return {make_numbers(self.dims(), std::move(values), self.kind)};
}

// The size of one dimension, as a number.
Results sym_size(const Arguments& in) {
  const Dims& dims = in.numbers("self").dims();
  return {make_number(static_cast<double>(dims.at(wrap_dim(in.integer("dim"), dims.size()))),
                      NumberKind::integer)};
}

Results sym_numel(const Arguments& in) {
  return {make_number(static_cast<double>(in.numbers("self").layout.count()), NumberKind::integer)};
}

}  // namespace

std::vector<EvaluatorRow> making_evaluators() {
  return {
      {"aten.arange", arange},         {"aten.full", full},
      {"aten.zeros", zeros},           {"aten.ones", ones},
      {"aten.empty", zeros},           {"aten.full_like", full_like},
      {"aten.zeros_like", zeros_like}, {"aten.ones_like", ones_like},
      {"aten.new_full", new_full},     {"aten.new_zeros", new_zeros},
      {"aten.new_ones", new_ones},     {"aten.scalar_tensor", scalar_tensor},
      {"aten.tril", triangle<true>},   {"aten.triu", triangle<false>},
      {"aten.sym_size", sym_size},     {"aten.sym_numel", sym_numel},
  };
}

}  // namespace nbl::compiler::pt2
