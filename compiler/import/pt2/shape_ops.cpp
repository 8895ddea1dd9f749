#include "compiler/import/pt2/shape_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace nbl::compiler::pt2 {
namespace {

using Results = std::vector<Shaped>;

Results view(const Layout& from, const Arguments& in) {
  const Dims sizes = in.integers(in.has("size") ? "size" : "shape");
  return {{from, resolved(sizes, from.count())}};
}

Results flatten(const Layout& from, const Arguments& in) {
  if (from.rank() == 0) return {{from, Dims{1}}};
  const size_t first = wrap_dim(in.integer("start_dim", 0), from.rank());
  const size_t last = wrap_dim(in.integer("end_dim", -1), from.rank());
  Dims dims(from.dims.begin(), from.dims.begin() + static_cast<std::ptrdiff_t>(first));
  int64_t merged = 1;
  for (size_t i = first; i <= last; ++i)
    merged *= from.dims[i];
  dims.push_back(merged);
  for (size_t i = last + 1; i < from.rank(); ++i)
    dims.push_back(from.dims[i]);
  return {{from, dims}};
}

Results unflatten(const Layout& from, const Arguments& in) {
  const size_t axis = wrap_dim(in.integer("dim"), from.rank());
  const Dims inner = resolved(in.integers("sizes"), from.dims[axis]);
  Dims dims = from.dims;
  const auto at = dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  dims.insert(at, inner.begin(), inner.end());
  return {{from, dims}};
}

Results permute(const Layout& from, const Arguments& in) {
  return {{permuted(from, in.integers("dims"))}};
}

Results transpose(const Layout& from, const Arguments& in) {
  return {{transposed(from, in.integer("dim0"), in.integer("dim1"))}};
}

Results t(const Layout& from, const Arguments&) {
  return {{from.rank() < 2 ? from : transposed(from, 0, 1)}};
}

Results unsqueeze(const Layout& from, const Arguments& in) {
  return {{unsqueezed(from, in.integer("dim"))}};
}

Results squeeze(const Layout& from, const Arguments& in) {
  Dims dims;
  if (in.has("dim")) {
    dims = in.integers("dim");
  } else {
    for (size_t i = 0; i < from.rank(); ++i)
      dims.push_back(static_cast<int64_t>(i));
  }
  return {{squeezed(from, dims)}};
}

Results expand(const Layout& from, const Arguments& in) {
  return {{expanded(from, in.integers("size"))}};
}

Results select(const Layout& from, const Arguments& in) {
  return {{selected(from, in.integer("dim"), in.integer("index"))}};
}

Results slice(const Layout& from, const Arguments& in) {
  return {{sliced(from, in.integer("dim", 0), in.integer("start", 0), in.integer("end", INT64_MAX),
                  in.integer("step", 1))}};
}

Results narrow(const Layout& from, const Arguments& in) {
  const int64_t start = in.integer("start");
  return {{sliced(from, in.integer("dim"), start, start + in.integer("length"), 1)}};
}

// `count` copies of every element (inner) or of the whole (outer) along one dimension.
Shaped repeated(const Layout& from, size_t axis, int64_t count, bool inner) {
  Layout to = from;
  const auto at = static_cast<std::ptrdiff_t>(axis + (inner ? 1 : 0));
  to.dims.insert(to.dims.begin() + at, count);
  to.strides.insert(to.strides.begin() + at, 0);
  Dims dims = from.dims;
  dims[axis] *= count;
  return {to, dims};
}

Results repeat(const Layout& from, const Arguments& in) {
  const Dims counts = in.integers("repeats");
  Layout to = from;
  if (counts.size() < from.rank()) {
    throw NodeError(fmt::format("repeats {} by {}", text_of(from.dims), text_of(counts)));
  }
  while (to.rank() < counts.size())
    to = unsqueezed(to, 0);
  // Each dimension d as [count, d], all merged at once.
  Layout wide{.dims = {}, .strides = {}, .offset = to.offset};
  Dims dims;
  for (size_t i = 0; i < counts.size(); ++i) {
    wide.dims.insert(wide.dims.end(), {counts[i], to.dims[i]});
    wide.strides.insert(wide.strides.end(), {0, to.strides[i]});
    dims.push_back(counts[i] * to.dims[i]);
  }
  return {{wide, dims}};
}

Results repeat_interleave(const Layout& from, const Arguments& in) {
  const size_t axis = wrap_dim(in.integer("dim"), from.rank());
  return {repeated(from, axis, in.integer("repeats"), true)};
}

Results pieces(const Layout& from, int64_t dim, const Dims& sizes) {
  Results results;
  int64_t start = 0;
  for (const int64_t size : sizes) {
    results.push_back({sliced(from, dim, start, start + size, 1)});
    start += size;
  }
  return results;
}

Results even_pieces(const Layout& from, int64_t dim, int64_t size) {
  const int64_t total = from.dims.at(wrap_dim(dim, from.rank()));
  if (size <= 0) throw NodeError(fmt::format("splits into pieces of {}", size));
  Dims sizes;
  for (int64_t start = 0; start < total; start += size)
    sizes.push_back(std::min(size, total - start));
  return pieces(from, dim, sizes);
}

Results split(const Layout& from, const Arguments& in) {
  const int64_t dim = in.integer("dim", 0);
  if (in.has("split_sizes")) return pieces(from, dim, in.integers("split_sizes"));
  const Dims size = in.integers("split_size");
  return size.size() == 1 ? even_pieces(from, dim, size[0]) : pieces(from, dim, size);
}

Results chunk(const Layout& from, const Arguments& in) {
  const int64_t dim = in.integer("dim", 0);
  const int64_t total = from.dims.at(wrap_dim(dim, from.rank()));
  const int64_t count = std::max<int64_t>(in.integer("chunks"), 1);
  return even_pieces(from, dim, (total + count - 1) / count);
}

Results unbind(const Layout& from, const Arguments& in) {
  const int64_t dim = in.integer("dim", 0);
  Results results;
  for (int64_t i = 0; i < from.dims.at(wrap_dim(dim, from.rank())); ++i) {
    results.push_back({selected(from, dim, i)});
  }
  return results;
}

Results same(const Layout& from, const Arguments&) {
  return {{from}};
}

const std::map<std::string, ShapeRule>& rules() {
  static const std::map<std::string, ShapeRule> all = {
      {"aten.view", view},
      {"aten.reshape", view},
      {"aten._unsafe_view", view},
      {"aten._reshape_alias", view},
      {"aten.flatten", flatten},
      {"aten.unflatten", unflatten},
      {"aten.permute", permute},
      {"aten.transpose", transpose},
      {"aten.t", t},
      {"aten.numpy_T", t},
      {"aten.unsqueeze", unsqueeze},
      {"aten.squeeze", squeeze},
      {"aten.expand", expand},
      {"aten.select", select},
      {"aten.slice", slice},
      {"aten.narrow", narrow},
      {"aten.repeat", repeat},
      {"aten.repeat_interleave", repeat_interleave},
      {"aten.split", split},
      {"aten.split_with_sizes", split},
      {"aten.chunk", chunk},
      {"aten.unbind", unbind},
      {"aten.clone", same},
      {"aten.contiguous", same},
      {"aten.detach", same},
      {"aten.detach_", same},
      {"aten.alias", same},
      {"aten.lift_fresh", same},
      {"aten.type_as", same},
  };
  return all;
}

}  // namespace

ShapeRule find_shape_rule(const std::string& op) {
  const auto found = rules().find(op);
  return found == rules().end() ? nullptr : found->second;
}

std::vector<std::string> shape_rule_names() {
  std::vector<std::string> names;
  for (const auto& [name, rule] : rules())
    names.push_back(name);
  return names;
}

}  // namespace nbl::compiler::pt2
