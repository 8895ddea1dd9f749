// Writes of a buffer by index or slice, in place and functional.
#include <fmt/format.h>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/cache.h"
#include "compiler/import/pt2/call.h"

namespace nbl::compiler::pt2 {
namespace {

using Values = std::vector<Value>;

// The elements of x at these indices of one dimension.
Elements at_indices(const Elements& x, int64_t dim, const Numbers& index) {
  const size_t axis = wrap_dim(dim, x.layout.rank());
  const std::vector<double> indices = index.values();
  Dims dims = x.dims();
  dims[axis] = static_cast<int64_t>(indices.size());
  std::vector<Element> elements(static_cast<size_t>(element_count(dims)));
  for (size_t k = 0; k < indices.size(); ++k) {
    const Elements one =
        x.with(selected(x.layout, static_cast<int64_t>(axis), static_cast<int64_t>(indices[k])));
    const std::vector<Element> from = one.list();
    const std::vector<int64_t> to =
        places(selected(row_major(dims), static_cast<int64_t>(axis), static_cast<int64_t>(k)));
    for (size_t i = 0; i < to.size(); ++i)
      elements[static_cast<size_t>(to[i])] = from[i];
  }
  return make_elements(dims, std::move(elements));
}

// What `self` shows of its buffer, behind a write of `into`.
Values written(const Call& call, const Elements& self, const Elements& into, const Elements& from) {
  Elements whole = write_cache(call.context, into, from);
  if (self.storage) throw NodeError("writes a part of a buffer that is no slice");
  whole.layout = self.layout;
  return {whole};
}

Values run_index_copy(const Call& call) {
  const Elements& self = call.elements("self");
  const Numbers& index = call.context.numbers(call.expression("index"));
  return written(call, self, at_indices(self, call.integer("dim"), index), call.elements("source"));
}

Values run_index_put(const Call& call) {
  if (call.flag("accumulate", false)) throw NodeError("adds to a buffer");
  const Elements& self = call.elements("self");
  const std::vector<Value> indices = call.list("indices");
  std::optional<size_t> dim;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (std::holds_alternative<None>(indices[i])) continue;
    if (dim) throw NodeError("writes a buffer by several indices");
    dim = i;
  }
  if (!dim) throw NodeError("writes a buffer without an index");
  const auto* index = std::get_if<ExpressionRef>(&indices[*dim]);
  if (index == nullptr) throw NodeError("writes a buffer at indices that the tokens decide");
  return written(call, self,
                 at_indices(self, static_cast<int64_t>(*dim), call.context.numbers(*index)),
                 call.elements("values"));
}

Values run_slice_scatter(const Call& call) {
  const Elements& self = call.elements("self");
  const Layout rows = sliced(self.layout, call.integer("dim", 0), call.integer("start", 0),
                             call.integer("end", INT64_MAX), call.integer("step", 1));
  return written(call, self, self.with(rows), call.elements("src"));
}

Values run_select_scatter(const Call& call) {
  const Elements& self = call.elements("self");
  const Layout row = selected(self.layout, call.integer("dim"), call.integer("index"));
  return written(call, self, self.with(row), call.elements("src"));
}

Values run_copy_in_place(const Call& call) {
  const Elements& self = call.elements("self");
  return written(call, self, self, call.elements("src"));
}

Values run_copy(const Call& call) {
  return {expanded_to(call.elements("src"), call.elements("self").dims())};
}

// op(arguments, the mutated ones by index into a list), giving the op's results and then the list
// as it is behind it.
Values run_auto_functionalized(const Call& call) {
  const std::string op = op_name(call.text("", ""));
  const std::vector<Value> bases = call.list("_all_bases");
  std::vector<std::string> mutated;
  if (op == "llama.update_cache") mutated = {"cache"};
  if (op == "llama.sdpa_with_kv_cache") mutated = {"key_cache", "value_cache"};
  const Handler handler = find_handler(op);
  if (mutated.empty() || handler == nullptr) {
    throw NodeError(fmt::format("wraps {}, which is not supported", op));
  }
  std::vector<CallArgument> arguments = call.arguments();
  std::vector<size_t> base_of;
  for (const std::string& name : mutated) {
    const auto base = static_cast<size_t>(call.integer("_" + name + "_base_index"));
    if (base >= bases.size()) throw NodeError(fmt::format("names no buffer for {}", name));
    arguments.push_back({name, bases[base]});
    base_of.push_back(base);
  }
  const Values results = handler(Call(call.context, op, std::move(arguments)));
  Values values = {results.at(0)};
  values.insert(values.end(), bases.begin(), bases.end());
  for (size_t i = 0; i < mutated.size(); ++i)
    values.at(1 + base_of[i]) = results.at(1 + i);
  return values;
}

}  // namespace

std::vector<HandlerRow> cache_handlers() {
  return {
      {"aten.index_copy", run_index_copy},
      {"aten.index_put", run_index_put},
      {"aten.slice_scatter", run_slice_scatter},
      {"aten.select_scatter", run_select_scatter},
      {"aten.copy", run_copy},
      {"aten.copy_", run_copy_in_place},
      {"higher_order.auto_functionalized_v2", run_auto_functionalized},
  };
}

}  // namespace nbl::compiler::pt2
