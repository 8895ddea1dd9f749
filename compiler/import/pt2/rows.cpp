#include "compiler/import/pt2/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compiler/import/pt2/emit_ops.h"
#include "compiler/import/pt2/rotation.h"

namespace nbl::compiler::pt2 {
namespace {

// Slices that one view may be joined from.
constexpr size_t kMaxRuns = 256;

const Source& activation_of(const Context& context, Element element) {
  const Source& source = context.source(element.source);
  switch (source.kind) {
    case Source::Kind::activation:
      if (!source.rounded) return source;
      throw NodeError("takes activations that are quantized to int8, which only a linear reads");
    case Source::Kind::tokens:
      throw NodeError("computes with token ids");
    case Source::Kind::buffer:
      throw NodeError(fmt::format("reads the cache {} before this step's keys and values are in it",
                                  std::get<Cache>(source.detail).name));
    case Source::Kind::state:
      throw NodeError(fmt::format("reads the cache {} outside an attention",
                                  std::get<Cache>(source.detail).name));
    case Source::Kind::scores:
    case Source::Kind::test:
      throw NodeError("takes attention scores, which only a softmax and the values may follow");
    case Source::Kind::statistic:
      throw NodeError("takes the mean of squares of a tensor, which only normalizes that tensor");
    case Source::Kind::choice:
      throw NodeError("goes on after the choice of a token");
    case Source::Kind::scales:
      throw NodeError("takes the scales of int8 activations, which only quantize them");
  }
  throw NodeError("takes a tensor of an unknown kind");
}

int64_t token_of(const Context& context, Element element) {
  if (element.source != kCombined) return element.index / activation_of(context, element).columns;
  const std::span<const Term> terms = context.combinations.terms(element);
  const int64_t token = token_of(context, terms[0].element);
  for (const Term& term : terms) {
    if (token_of(context, term.element) != token) throw NodeError("mixes tokens");
  }
  return token;
}

bool same_column(const Context& context, Element a, Element b) {
  if (a.source != kCombined || b.source != kCombined) {
    return a.source == b.source && (a.index - b.index) % context.source(a.source).columns == 0;
  }
  return std::ranges::equal(context.combinations.terms(a), context.combinations.terms(b),
                            [&](const Term& x, const Term& y) {
                              return x.factor == y.factor && x.coefficient == y.coefficient &&
                                     same_column(context, x.element, y.element);
                            });
}

// Columns that lie next to each other in one tensor.
struct Run {
  int32_t tensor;
  int64_t first, count;
};

std::vector<Run> runs_of(const Context& context, const std::vector<Element>& columns) {
  std::vector<Run> runs;
  for (const Element& element : columns) {
    const Source& source = context.source(element.source);
    const int64_t column = element.index % source.columns;
    const bool goes_on = !runs.empty() && runs.back().tensor == source.tensor &&
                         runs.back().first + runs.back().count == column;
    if (goes_on) {
      ++runs.back().count;
    } else {
      runs.push_back({source.tensor, column, 1});
    }
  }
  return runs;
}

// H where the columns are [H, D] of one tensor read as [D, H]; 0 where they are not.
uint32_t permuted_heads(const Context& context, const std::vector<Element>& columns) {
  const Source& source = context.source(columns[0].source);
  const auto count = static_cast<int64_t>(columns.size());
  if (source.columns != count || columns[0].index % count != 0 || count < 2) return 0;
  const int64_t head_dim = columns[1].index % count;
  if (head_dim < 2 || count % head_dim != 0) return 0;
  const int64_t heads = count / head_dim;
  for (int64_t i = 0; i < count; ++i) {
    const Element& element = columns[static_cast<size_t>(i)];
    const bool fits = element.source == columns[0].source &&
                      element.index % count == i % heads * head_dim + i / heads;
    if (!fits) return 0;
  }
  return static_cast<uint32_t>(heads);
}

int32_t joined(Context& context, std::vector<int32_t> parts) {
  constexpr size_t kMaxParts = 4;
  while (parts.size() > 1) {
    std::vector<int32_t> next;
    for (size_t i = 0; i < parts.size(); i += kMaxParts) {
      const size_t end = std::min(i + kMaxParts, parts.size());
      const std::vector<int32_t> some(parts.begin() + static_cast<std::ptrdiff_t>(i),
                                      parts.begin() + static_cast<std::ptrdiff_t>(end));
      next.push_back(some.size() == 1 ? some[0] : emit_cat(context, some));
    }
    parts = std::move(next);
  }
  return parts[0];
}

Elements as_view(Context& context, const Rows& rows, int32_t tensor, const Dims& dims) {
  const int32_t source = context.activation_source(tensor);
  std::vector<Element> elements;
  elements.reserve(rows.row.size());
  for (size_t i = 0; i < rows.row.size(); ++i) {
    const int64_t token = rows.tokens[static_cast<size_t>(rows.row[i])];
    elements.push_back({source, static_cast<int32_t>(token * rows.columns() + rows.slot[i])});
  }
  return make_elements(dims, std::move(elements));
}

// Whether the view shows every column of one tensor once.
bool is_arrangement(const Context& context, const Rows& rows) {
  const Element first = rows.elements[0][0];
  const int64_t columns = context.source(first.source).columns;
  if (columns != rows.columns()) return false;
  std::vector<bool> seen(static_cast<size_t>(columns));
  for (const Element& element : rows.elements[0]) {
    const auto column = static_cast<size_t>(element.index % columns);
    if (element.source != first.source || seen[column]) return false;
    seen[column] = true;
  }
  return true;
}

int32_t scaled(Context& context, int32_t tensor, double factor) {
  return factor == 1 ? tensor : emit_scalar(context, Function::mul, tensor, factor);
}

}  // namespace

Rows rows_of(const Context& context, const Elements& elements) {
  Rows rows;
  std::map<int64_t, int32_t> row_of_token;
  const std::vector<Element> all = elements.list();
  if (all.empty()) throw NodeError("takes a tensor without elements");
  rows.row.reserve(all.size());
  rows.slot.reserve(all.size());
  for (const Element& element : all) {
    const int64_t token = token_of(context, element);
    const auto [found, added] =
        row_of_token.try_emplace(token, static_cast<int32_t>(rows.elements.size()));
    if (added) {
      rows.tokens.push_back(token);
      rows.elements.emplace_back();
    }
    std::vector<Element>& row = rows.elements[static_cast<size_t>(found->second)];
    rows.row.push_back(found->second);
    rows.slot.push_back(static_cast<int32_t>(row.size()));
    row.push_back(element);
  }
  for (const std::vector<Element>& row : rows.elements) {
    const bool same = std::ranges::equal(
        row, rows.elements[0], [&](Element a, Element b) { return same_column(context, a, b); });
    if (!same) throw NodeError("takes other columns of one token than of another");
  }
  return rows;
}

bool is_plain(const Context& context, const Elements& elements) {
  if (!elements.storage) return context.source(elements.whole).kind == Source::Kind::activation;
  const std::vector<Element> all = elements.list();
  return std::ranges::all_of(all, [&](Element element) {
    return element.source != kCombined &&
           context.source(element.source).kind == Source::Kind::activation;
  });
}

int32_t gathered(Context& context, const std::vector<Element>& columns) {
  if (const uint32_t heads = permuted_heads(context, columns)) {
    return emit_permute(context, context.source(columns[0].source).tensor, heads);
  }
  const std::vector<Run> runs = runs_of(context, columns);
  if (runs.size() > kMaxRuns) {
    throw NodeError(
        fmt::format("takes columns in {} pieces; at most {} are joined", runs.size(), kMaxRuns));
  }
  std::vector<int32_t> parts;
  for (const Run& run : runs) {
    const bool all = run.first == 0 && run.count == context.graph.columns(run.tensor);
    parts.push_back(all ? run.tensor
                        : emit_slice(context, run.tensor, static_cast<uint32_t>(run.first),
                                     static_cast<uint32_t>(run.count)));
  }
  return joined(context, std::move(parts));
}

Based ordered(Context& context, const Elements& elements, uint32_t head_dim) {
  const Rows rows = rows_of(context, elements);
  const std::vector<Element>& columns = rows.elements[0];
  const auto combined = [](Element element) { return element.source == kCombined; };
  int32_t tensor = std::ranges::any_of(columns, combined) ? rotated(context, rows, head_dim)
                                                          : gathered(context, columns);
  tensor = scaled(context, tensor, elements.factor);
  return {tensor, as_view(context, rows, tensor, elements.dims())};
}

Based based(Context& context, const Elements& elements) {
  if (is_plain(context, elements)) {
    const Rows rows = rows_of(context, elements);
    if (is_arrangement(context, rows)) {
      const int32_t tensor = context.source(rows.elements[0][0].source).tensor;
      Elements view = elements;
      view.factor = 1;
      if (elements.factor == 1) return {tensor, std::move(view)};
      const int32_t product = scaled(context, tensor, elements.factor);
      return {product, renamed(context, view, product)};
    }
  }
  return ordered(context, elements);
}

Elements renamed(Context& context, const Elements& view, int32_t tensor) {
  const int32_t source = context.activation_source(tensor);
  Elements result = view;
  if (!view.storage) {
    result.whole = source;
    return result;
  }
  std::vector<Element> elements = *view.storage;
  for (Element& element : elements)
    element.source = source;
  result.storage = std::make_shared<const std::vector<Element>>(std::move(elements));
  return result;
}

}  // namespace nbl::compiler::pt2
