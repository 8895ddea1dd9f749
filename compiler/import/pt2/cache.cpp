#include "compiler/import/pt2/cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/rows.h"

namespace nbl::compiler::pt2 {
namespace {

// Which element of which position a place of a cache is.
struct CachePlace {
  int64_t position, column;
};

CachePlace place_of(const Cache& cache, int64_t index) {
  CachePlace place{0, 0};
  int64_t stride = 1;
  for (size_t i = cache.dims.size(); i-- > 0;) {
    const int64_t at = index % cache.dims[i];
    index /= cache.dims[i];
    if (i == cache.row_dim) {
      place.position = at;
    } else {
      place.column += at * stride;
      stride *= cache.dims[i];
    }
  }
  return place;
}

// The dimension of which `indices` cover the step's positions alone, all others being covered
// whole.
size_t row_dim_of(const Context& context, const Cache& cache,
                  const std::vector<Element>& elements) {
  std::vector<int64_t> strides = row_major(cache.dims).strides;
  std::optional<size_t> row_dim;
  for (size_t i = 0; i < cache.dims.size(); ++i) {
    std::vector<bool> covered(static_cast<size_t>(cache.dims[i]));
    for (const Element& element : elements)
      covered[static_cast<size_t>(element.index / strides[i] % cache.dims[i])] = true;
    if (std::ranges::count(covered, false) == 0) continue;
    bool fits = !row_dim;
    for (int64_t at = 0; at < cache.dims[i]; ++at) {
      const bool live =
          at >= context.step.position && at < context.step.position + context.step.tokens;
      fits = fits && covered[static_cast<size_t>(at)] == live;
    }
    if (!fits) {
      throw NodeError(fmt::format("writes {} elsewhere than at the positions of the step's tokens",
                                  cache.name));
    }
    row_dim = i;
  }
  if (!row_dim) throw NodeError(fmt::format("writes all of {} at once", cache.name));
  return *row_dim;
}

int32_t add_state(Context& context, const std::string& name, const Cache& cache) {
  const int32_t tensor =
      context.graph.add({.name = name,
                         .role = Role::state,
                         .dtype = DType::f16,
                         .shape = {cache.kv_heads, static_cast<uint32_t>(cache.dims[cache.row_dim]),
                                   cache.head_dim}});
  return context.add_source({.kind = Source::Kind::state, .tensor = tensor, .detail = cache});
}

void update(Context& context, int32_t rows, int32_t state, const std::string& name) {
  context.graph.ops.push_back({.kind = OpKind::update_cache,
                               .name = name,
                               .inputs = {rows},
                               .outputs = {context.source(state).tensor}});
}

// The step's own keys or values [heads..., length, head_dim], written into a cache of their own.
int32_t lifted(Context& context, const Elements& view, uint32_t heads, int64_t length,
               int64_t head_dim) {
  if (!context.whole_sequence || length != context.step.tokens) {
    throw NodeError("attends to keys that are in no cache");
  }
  // [heads, length, head_dim] -> [length, heads, head_dim], each group's heads being the same.
  const Elements flat = view.compacted().with(row_major({heads, length, head_dim}));
  std::vector<int64_t> own = {0};
  for (int64_t h = 1; h < heads; ++h) {
    const auto head = [&](int64_t i) { return flat.with(selected(flat.layout, 0, i)).list(); };
    if (head(h) != head(own.back())) own.push_back(h);
  }
  const auto kv_heads = static_cast<int64_t>(own.size());
  if (heads % kv_heads != 0) throw NodeError("shares keys unevenly between heads");
  Layout some = sliced(flat.layout, 0, 0, heads, heads / kv_heads);
  some = transposed(some, 0, 1);
  const Elements rows = flat.with(some);
  const Based base = ordered(context, rows, static_cast<uint32_t>(head_dim));
  const Cache cache{.name = context.node_name,
                    .dims = {kv_heads, length, head_dim},
                    .row_dim = 1,
                    .kv_heads = static_cast<uint32_t>(kv_heads),
                    .head_dim = static_cast<uint32_t>(head_dim)};
  const int32_t state = add_state(context, context.node_name + ".cache", cache);
  update(context, base.tensor, state, context.node_name + ".cache");
  return state;
}

// Where a view of a cache is put back into the cache that it shows: the cache.
std::optional<Elements> written_before(const Context& context, const Elements& into,
                                       const Elements& from) {
  if (!is_kind(context, from, Source::Kind::state)) return std::nullopt;
  int32_t target = 0;
  int32_t state = 0;
  const Source* buffer = sole_source(context, into, &target);
  const Source* written = sole_source(context, from, &state);
  if (buffer == nullptr || written == nullptr || buffer->kind != Source::Kind::buffer) return {};
  const Cache& cache = std::get<Cache>(written->detail);
  const std::vector<Element> to = into.list();
  const std::vector<Element> values = expanded_to(from, into.dims()).list();
  const bool same = std::get<Cache>(buffer->detail).name == cache.name &&
                    std::ranges::equal(to, values, {}, &Element::index, &Element::index);
  if (!same) return std::nullopt;
  return whole_source(state, cache.dims);
}

}  // namespace

Elements cache_buffer(Context& context, const std::string& name, const ConstantTensor& initial) {
  if (std::ranges::any_of(initial.bytes, [](std::byte byte) { return byte != std::byte{0}; })) {
    throw NodeError(
        fmt::format("the buffer {}, which the graph writes, does not begin as zeros", name));
  }
  const Cache cache{.name = name, .dims = initial.shape};
  return whole_source(context.add_source({.kind = Source::Kind::buffer, .detail = cache}),
                      initial.shape);
}

Elements write_cache(Context& context, const Elements& into, const Elements& from) {
  if (const std::optional<Elements> done = written_before(context, into, from)) return *done;
  int32_t index = 0;
  const Source* target = sole_source(context, into, &index);
  if (target == nullptr || target->kind != Source::Kind::buffer || into.factor != 1) {
    throw NodeError("writes something that is no buffer, or a buffer that this step wrote before");
  }
  Cache cache = std::get<Cache>(target->detail);
  const std::vector<Element> places = into.list();
  const std::vector<Element> values = expanded_to(from, into.dims()).list();
  cache.row_dim = row_dim_of(context, cache, places);
  const size_t rank = cache.dims.size();
  if (rank < 2) throw NodeError(fmt::format("writes {}, which has no heads", cache.name));
  const int64_t columns = element_count(cache.dims) / cache.dims[cache.row_dim];
  const bool rows_last = cache.row_dim + 1 == rank;
  cache.head_dim = static_cast<uint32_t>(cache.dims[rows_last ? rank - 2 : rank - 1]);
  cache.kv_heads = static_cast<uint32_t>(columns / cache.head_dim);
  if (static_cast<int64_t>(places.size()) != columns * context.step.tokens) {
    throw NodeError(fmt::format("writes a part of the rows of {}", cache.name));
  }
  std::vector<Element> rows(places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    const CachePlace place = place_of(cache, places[i].index);
    rows.at(static_cast<size_t>((place.position - context.step.position) * columns +
                                place.column)) = values[i];
  }
  const Elements ordered_rows =
      make_elements({context.step.tokens, columns}, std::move(rows), from.factor);
  const Rows by_token = rows_of(context, ordered_rows);
  for (int64_t t = 0; t < context.step.tokens; ++t) {
    const auto row = static_cast<size_t>(by_token.row[static_cast<size_t>(t * columns)]);
    if (by_token.tokens[row] != t) {
      throw NodeError(fmt::format("writes tokens into {} out of order", cache.name));
    }
  }
  const Based base = ordered(context, ordered_rows, cache.head_dim);
  context.capacities.push_back(cache.dims[cache.row_dim]);
  const int32_t state = add_state(context, cache.name, cache);
  update(context, base.tensor, state, cache.name);
  return whole_source(state, cache.dims);
}

CacheView cache_view(Context& context, const Elements& view, uint32_t heads, bool keys) {
  const size_t rank = view.layout.rank();
  // As [heads, length, head_dim].
  Elements rows = keys ? view.with(transposed(view.layout, -1, -2)) : view;
  const int64_t head_dim = rows.dims()[rank - 1];
  const int64_t length = rows.dims()[rank - 2];
  if (is_kind(context, rows, Source::Kind::activation)) {
    const int32_t state = lifted(context, rows, heads, length, head_dim);
    return {state, std::get<Cache>(context.source(state).detail).kv_heads};
  }
  int32_t index = 0;
  const Source* source = sole_source(context, rows, &index);
  if (source == nullptr || source->kind != Source::Kind::state) {
    throw NodeError(
        "attends to keys or values that are not those of one cache after this step's "
        "were written");
  }
  const Cache& cache = std::get<Cache>(source->detail);
  if (cache.kv_heads == 0 || heads % cache.kv_heads != 0 || head_dim != cache.head_dim) {
    throw NodeError(fmt::format("has {} heads of {} for a cache with {} heads of {}", heads,
                                head_dim, cache.kv_heads, cache.head_dim));
  }
  const int64_t group = heads / cache.kv_heads;
  const std::vector<Element> list = rows.list();
  for (size_t i = 0; i < list.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const CachePlace place = place_of(cache, list[i].index);
    const int64_t head = at / (length * head_dim) / group;
    if (place.position != at / head_dim % length ||
        place.column != head * head_dim + at % head_dim) {
      throw NodeError(
          fmt::format("reads {} in an order that is not by head and position", cache.name));
    }
  }
  return {index, cache.kv_heads};
}

}  // namespace nbl::compiler::pt2
