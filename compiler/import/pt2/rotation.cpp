#include "compiler/import/pt2/rotation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/pt2/coefficients.h"
#include "compiler/import/pt2/emit_ops.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr const char* kNoRotation =
    "has a factor that changes with the position and is no rotary embedding";

using Function = TableRequest::Function;

std::vector<Term> terms_of(const Context& context, Element element) {
  if (element.source != kCombined) return {{.element = element}};
  const std::span<const Term> terms = context.combinations.terms(element);
  return {terms.begin(), terms.end()};
}

// Sums of one term without a coefficient: factors of the columns.
bool is_scaling(const Context& context, const std::vector<Element>& columns) {
  return std::ranges::all_of(columns, [&](Element element) {
    const std::vector<Term> terms = terms_of(context, element);
    return terms.size() == 1 && terms[0].coefficient < 0;
  });
}

int32_t scaled_columns(Context& context, const Rows& rows) {
  std::vector<Element> plain;
  std::vector<double> factors;
  for (const Element& element : rows.elements[0]) {
    const Term term = terms_of(context, element)[0];
    plain.push_back(term.element);
    factors.push_back(static_cast<double>(term.factor));
  }
  const int32_t x = gathered(context, plain);
  const bool same = std::ranges::all_of(factors, [&](double f) { return f == factors[0]; });
  if (same && factors[0] == 1) return x;
  if (same) return emit_scalar(context, nbl::Function::mul, x, factors[0]);
  return emit_binary(context, nbl::Function::mul, x,
                     context.vector_weight(context.node_name + ".factors", factors));
}

// One element of a head that turns: itself times `cosine` plus its partner times `sine`.
struct Turn {
  Element self;
  Element partner;
  Function cosine;
  Function sine;
};

Function function_of(const Context& context, const Rows& rows, size_t slot, size_t term) {
  Function function;
  for (const std::vector<Element>& row : rows.elements) {
    const Term at = terms_of(context, row[slot]).at(term);
    function.coefficient = at.coefficient;
    function.factor = static_cast<double>(at.factor);
    function.indices.push_back(at.coefficient_index);
  }
  return function;
}

// Which of two terms is the cosine shows at position 0, where the sine is zero.
Turn turn_of(Context& context, const Rows& rows, size_t slot) {
  const std::vector<Term> terms = terms_of(context, rows.elements[0][slot]);
  const Function a = function_of(context, rows, slot, 0);
  const Function b = function_of(context, rows, slot, 1);
  const bool first = std::abs(value_at(context, a, 0, 0)) > std::abs(value_at(context, b, 0, 0));
  if (first) return {terms[0].element, terms[1].element, a, b};
  return {terms[1].element, terms[0].element, b, a};
}

struct Rotation {
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t rotary_dim = 0;
  bool half = false;
  std::vector<Element> x;   // the columns before the rotation
  std::vector<Turn> turns;  // of the first rotary_dim of every head

  size_t partner(size_t i) const {
    if (!half) return i ^ 1;
    return i < rotary_dim / 2 ? i + rotary_dim / 2 : i - rotary_dim / 2;
  }
  bool is_first(size_t i) const { return half ? i < rotary_dim / 2 : i % 2 == 0; }
  size_t pair(size_t i) const {
    if (!half) return i / 2;
    return i % (rotary_dim / 2);
  }
};

// Whether partners are each other's, under the rotation's convention.
bool pairs_up(const Rotation& r) {
  for (size_t head = 0; head < r.heads; ++head) {
    for (size_t i = 0; i < r.rotary_dim; ++i) {
      const Turn& turn = r.turns[head * r.rotary_dim + i];
      const Turn& other = r.turns[head * r.rotary_dim + r.partner(i)];
      if (turn.partner != other.self || other.partner != turn.self) return false;
    }
  }
  return true;
}

// Whether all heads turn by the same functions.
bool repeats(const Rotation& r) {
  for (size_t i = r.rotary_dim; i < r.turns.size(); ++i) {
    const Turn& first = r.turns[i % r.rotary_dim];
    if (r.turns[i].cosine != first.cosine || r.turns[i].sine != first.sine) return false;
  }
  return true;
}

// The rotation of heads of head_dim columns that the sums are, if they are one.
std::optional<Rotation> rotation_of(Context& context, const Rows& rows, uint32_t head_dim) {
  const std::vector<Element>& columns = rows.elements[0];
  Rotation r;
  r.head_dim = head_dim;
  if (columns.size() % head_dim != 0) return std::nullopt;
  r.heads = static_cast<uint32_t>(columns.size() / head_dim);
  const auto turns = [&](size_t i) { return terms_of(context, columns[i]).size() == 2; };
  while (r.rotary_dim < head_dim && turns(r.rotary_dim))
    ++r.rotary_dim;
  if (r.rotary_dim == 0 || r.rotary_dim % 2 != 0) return std::nullopt;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::vector<Term> terms = terms_of(context, columns[i]);
    if (i % head_dim < r.rotary_dim) {
      if (terms.size() != 2 || terms[0].coefficient < 0 || terms[1].coefficient < 0) return {};
      r.turns.push_back(turn_of(context, rows, i));
      r.x.push_back(r.turns.back().self);
      continue;
    }
    const bool passes = terms.size() == 1 && terms[0].coefficient < 0 && terms[0].factor == 1;
    if (!passes) return std::nullopt;
    r.x.push_back(terms[0].element);
  }
  for (const bool half : {true, false}) {
    r.half = half;
    if (pairs_up(r)) return r;
  }
  return std::nullopt;
}

// Where the heads' size is not known, it is the least by which the functions repeat.
Rotation find_rotation(Context& context, const Rows& rows, uint32_t head_dim) {
  if (head_dim != 0) {
    if (const auto found = rotation_of(context, rows, head_dim)) return *found;
    throw NodeError(kNoRotation);
  }
  const auto columns = static_cast<uint32_t>(rows.elements[0].size());
  for (uint32_t size = 2; size <= columns; size += 2) {
    if (columns % size != 0) continue;
    const auto found = rotation_of(context, rows, size);
    if (found && repeats(*found)) return *found;
  }
  throw NodeError(kNoRotation);
}

void add_once(std::vector<Function>* list, const Function& function) {
  if (std::ranges::count(*list, function) == 0) list->push_back(function);
}

// The factor on a rotation, which tables for long contexts have.
double magnitude_of(Context& context, const Rotation& r) {
  const double magnitude = value_at(context, r.turns[0].cosine, 0, 0);
  if (!(magnitude > 0) || !std::isfinite(magnitude)) throw NodeError(kNoRotation);
  return std::abs(magnitude - 1) < 1e-6 ? 1 : magnitude;
}

int32_t table_of(Context& context, const Rotation& r, double magnitude) {
  TableRequest request{.tensor = kAbsent, .pairs = {}, .place = context.node_name};
  request.pairs.resize(r.rotary_dim / 2);
  for (size_t i = 0; i < r.turns.size(); ++i) {
    Turn turn = r.turns[i];
    const size_t at = i % r.rotary_dim;
    turn.cosine.factor /= magnitude;
    turn.sine.factor /= r.is_first(at) ? -magnitude : magnitude;
    TableRequest::Pair& pair = request.pairs[r.pair(at)];
    add_once(&pair.cosines, turn.cosine);
    add_once(&pair.sines, turn.sine);
  }
  for (const TableRequest& known : context.tables) {
    if (known.pairs == request.pairs) return known.tensor;
  }
  request.tensor = context.graph.add({.name = "rope_table",
                                      .role = Role::weight,
                                      .dtype = DType::f32,
                                      .shape = {0, r.rotary_dim},
                                      .constant = std::make_shared<Constant>()});
  context.tables.push_back(request);
  return request.tensor;
}

}  // namespace

int32_t rotated(Context& context, const Rows& rows, uint32_t head_dim) {
  if (is_scaling(context, rows.elements[0])) return scaled_columns(context, rows);
  if (rows.tokens[0] != 0) throw NodeError("rotates some tokens and not others");
  const Rotation r = find_rotation(context, rows, head_dim);
  const double magnitude = magnitude_of(context, r);
  const int32_t x = gathered(context, r.x);
  const int32_t table = table_of(context, r, magnitude);
  const int32_t out = context.emit({.kind = OpKind::rope,
                                    .name = {},
                                    .inputs = {x, table},
                                    .heads = r.heads,
                                    .head_dim = r.head_dim,
                                    .rotary_dim = r.rotary_dim,
                                    .rope_half = r.half},
                                   context.graph.columns(x));
  if (magnitude == 1) return out;
  std::vector<double> factors(r.head_dim, 1.0);
  std::fill_n(factors.begin(), r.rotary_dim, magnitude);
  return emit_binary(context, nbl::Function::mul, out,
                     context.vector_weight("rope_magnitude", factors));
}

}  // namespace nbl::compiler::pt2
