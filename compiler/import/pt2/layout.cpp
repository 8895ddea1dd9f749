#include "compiler/import/pt2/layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/import/pt2/array_limits.h"

namespace nbl::compiler::pt2 {
namespace {

void require(bool holds, const std::string& wrong) {
  if (!holds) throw NodeError(wrong);
}

}  // namespace

int64_t element_count(const Dims& dims) {
  const int64_t most = most_elements();
  int64_t count = 1;
  for (const int64_t dim : dims) {
    // Asked for often: the sentence is made where it is needed.
    if (dim < 0 || (dim > 0 && count > most / dim)) {
      throw NodeError(fmt::format("has the sizes {}, more than {} elements", text_of(dims), most));
    }
    count *= dim;
  }
  return count;
}

std::string text_of(const Dims& dims) {
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

int64_t Layout::count() const {
  return element_count(dims);
}

bool Layout::contiguous() const {
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i] == 1) continue;
    if (strides[i] != stride) return false;
    stride *= dims[i];
  }
  return true;
}

Layout row_major(Dims dims) {
  element_count(dims);
  Layout layout{.dims = std::move(dims), .strides = {}, .offset = 0};
  layout.strides.resize(layout.rank());
  int64_t stride = 1;
  for (size_t i = layout.rank(); i-- > 0;) {
    layout.strides[i] = stride;
    stride *= std::max<int64_t>(layout.dims[i], 1);
  }
  return layout;
}

std::vector<int64_t> places(const Layout& layout) {
  std::vector<int64_t> found = {layout.offset};
  if (layout.count() == 0) return {};
  found.reserve(static_cast<size_t>(layout.count()));
  // From the first dimension on, each place gives way to the places of its row.
  for (size_t i = 0; i < layout.rank(); ++i) {
    std::vector<int64_t> next;
    next.reserve(found.size() * static_cast<size_t>(layout.dims[i]));
    for (const int64_t place : found) {
      for (int64_t k = 0; k < layout.dims[i]; ++k)
        next.push_back(place + k * layout.strides[i]);
    }
    found = std::move(next);
  }
  return found;
}

size_t wrap_dim(int64_t dim, size_t rank) {
  const auto count = static_cast<int64_t>(std::max<size_t>(rank, 1));
  require(dim >= -count && dim < count,
          fmt::format("names dimension {} of a tensor of rank {}", dim, rank));
  return static_cast<size_t>(dim < 0 ? dim + count : dim);
}

Layout permuted(const Layout& from, const Dims& order) {
  require(order.size() == from.rank(),
          fmt::format("permutes {} dimensions of {}", order.size(), text_of(from.dims)));
  Layout to{.dims = {}, .strides = {}, .offset = from.offset};
  std::vector<bool> seen(from.rank());
  for (const int64_t dim : order) {
    const size_t axis = wrap_dim(dim, from.rank());
    require(!seen[axis], fmt::format("permutes dimension {} twice", axis));
    seen[axis] = true;
    to.dims.push_back(from.dims[axis]);
    to.strides.push_back(from.strides[axis]);
  }
  return to;
}

Layout transposed(const Layout& from, int64_t a, int64_t b) {
  if (from.rank() == 0) return from;
  Layout to = from;
  const size_t first = wrap_dim(a, from.rank());
  const size_t second = wrap_dim(b, from.rank());
  std::swap(to.dims[first], to.dims[second]);
  std::swap(to.strides[first], to.strides[second]);
  return to;
}

Layout unsqueezed(const Layout& from, int64_t dim) {
  Layout to = from;
  const auto axis = static_cast<std::ptrdiff_t>(wrap_dim(dim, from.rank() + 1));
  to.dims.insert(to.dims.begin() + axis, 1);
  to.strides.insert(to.strides.begin() + axis, 0);
  return to;
}

Layout squeezed(const Layout& from, const Dims& dims) {
  std::vector<bool> drop(from.rank());
  for (const int64_t dim : dims) {
    if (from.rank() == 0) continue;
    const size_t axis = wrap_dim(dim, from.rank());
    drop[axis] = from.dims[axis] == 1;
  }
  Layout to{.dims = {}, .strides = {}, .offset = from.offset};
  for (size_t i = 0; i < from.rank(); ++i) {
    if (drop[i]) continue;
    to.dims.push_back(from.dims[i]);
    to.strides.push_back(from.strides[i]);
  }
  return to;
}

Layout selected(const Layout& from, int64_t dim, int64_t index) {
  require(from.rank() > 0, "selects from a tensor without dimensions");
  const size_t axis = wrap_dim(dim, from.rank());
  const int64_t size = from.dims[axis];
  require(index >= -size && index < size,
          fmt::format("selects element {} of a dimension of {}", index, size));
  Layout to = from;
  to.offset += (index < 0 ? index + size : index) * from.strides[axis];
  to.dims.erase(to.dims.begin() + static_cast<std::ptrdiff_t>(axis));
  to.strides.erase(to.strides.begin() + static_cast<std::ptrdiff_t>(axis));
  return to;
}

Layout sliced(const Layout& from, int64_t dim, int64_t start, int64_t end, int64_t step) {
  require(from.rank() > 0, "slices a tensor without dimensions");
  require(step > 0, fmt::format("slices with a step of {}", step));
  const size_t axis = wrap_dim(dim, from.rank());
  const int64_t size = from.dims[axis];
  const auto bound = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  const int64_t first = bound(start);
  const int64_t last = std::max(bound(end), first);
  Layout to = from;
  to.offset += first * from.strides[axis];
  to.dims[axis] = (last - first + step - 1) / step;
  to.strides[axis] *= step;
  return to;
}

Layout expanded(const Layout& from, const Dims& sizes) {
  require(sizes.size() >= from.rank(),
          fmt::format("expands {} to {}", text_of(from.dims), text_of(sizes)));
  const size_t added = sizes.size() - from.rank();
  Layout to{.dims = sizes, .strides = Dims(sizes.size(), 0), .offset = from.offset};
  for (size_t i = added; i < sizes.size(); ++i) {
    const int64_t size = from.dims[i - added];
    if (to.dims[i] == -1) to.dims[i] = size;
    require(size == 1 || size == to.dims[i],
            fmt::format("expands {} to {}", text_of(from.dims), text_of(sizes)));
    if (size == to.dims[i]) to.strides[i] = from.strides[i - added];
  }
  return to;
}

Dims broadcast(const Dims& a, const Dims& b) {
  Dims to(std::max(a.size(), b.size()));
  for (size_t i = 0; i < to.size(); ++i) {
    const int64_t left = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t right = i < b.size() ? b[b.size() - 1 - i] : 1;
    require(left == right || left == 1 || right == 1,
            fmt::format("combines sizes {} and {}, which do not fit", text_of(a), text_of(b)));
    to[to.size() - 1 - i] = left == 1 ? right : left;
  }
  return to;
}

Dims resolved(const Dims& sizes, int64_t count) {
  int64_t known = 1;
  int64_t open = 0;
  for (const int64_t size : sizes) {
    if (size == -1) {
      ++open;
    } else {
      known *= size;
    }
  }
  Dims to = sizes;
  if (open == 1 && known > 0) std::ranges::replace(to, int64_t{-1}, count / known);
  require(open <= 1 && std::ranges::none_of(to, [](int64_t size) { return size < 0; }) &&
              element_count(to) == count,
          fmt::format("gives {} elements the sizes {}", count, text_of(sizes)));
  return to;
}

std::optional<Layout> reshaped(const Layout& from, const Dims& dims) {
  require(element_count(dims) == from.count(),
          fmt::format("gives {} the sizes {}", text_of(from.dims), text_of(dims)));
  if (from.count() == 0) return row_major(dims);
  // Runs of old dimensions that lie evenly one in the other, outermost first.
  Layout to{.dims = dims, .strides = Dims(dims.size(), 0), .offset = from.offset};
  const Layout old = squeezed(from, [&] {
    Dims all(from.rank());
    for (size_t i = 0; i < all.size(); ++i)
      all[i] = static_cast<int64_t>(i);
    return all;
  }());
  size_t next = dims.size();
  for (size_t i = old.rank(); i > 0;) {
    int64_t stride = old.strides[i - 1];
    int64_t size = old.dims[i - 1];
    for (--i; i > 0 && old.strides[i - 1] == old.strides[i] * old.dims[i]; --i)
      size *= old.dims[i - 1];
    while (next > 0 && size > 1) {
      const int64_t want = dims[next - 1];
      if (size % want != 0) return std::nullopt;
      to.strides[--next] = stride;
      stride *= want;
      size /= want;
    }
    if (size != 1) return std::nullopt;
  }
  return to;
}

}  // namespace nbl::compiler::pt2
