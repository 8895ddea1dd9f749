// Which elements of a storage an array shows: sizes, strides and an offset, as PyTorch has them.
// Every shape op of a graph that moves nothing is a function from layout to layout.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace nbl::compiler::pt2 {

using Dims = std::vector<int64_t>;

// What is wrong with one node, as the end of a sentence; who walks the graph says which node.
class NodeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Layout {
  Dims dims;
  Dims strides;
  int64_t offset = 0;

  int64_t count() const;
  size_t rank() const { return dims.size(); }
  // Whether the elements are those from `offset` on, in order.
  bool contiguous() const;
};

int64_t element_count(const Dims& dims);
// "[1, 3, 64]".
std::string text_of(const Dims& dims);

Layout row_major(Dims dims);

// The place in the storage of every element, in logical order.
std::vector<int64_t> places(const Layout& layout);

// Dimensions may count from the end.
//
// Errors  NodeError, where dims or sizes do not fit.
size_t wrap_dim(int64_t dim, size_t rank);
Layout permuted(const Layout& from, const Dims& order);
Layout transposed(const Layout& from, int64_t a, int64_t b);
Layout unsqueezed(const Layout& from, int64_t dim);
Layout squeezed(const Layout& from, const Dims& dims);  // of those that are 1
Layout selected(const Layout& from, int64_t dim, int64_t index);
// Bounds are clamped and count from the end where negative.
Layout sliced(const Layout& from, int64_t dim, int64_t start, int64_t end, int64_t step);
// Right-aligned; -1 keeps a size.
Layout expanded(const Layout& from, const Dims& sizes);
Dims broadcast(const Dims& a, const Dims& b);

// Sizes with one -1 filled in.
Dims resolved(const Dims& sizes, int64_t count);
// The same elements in the same order under other dims; nothing where that takes a copy.
std::optional<Layout> reshaped(const Layout& from, const Dims& dims);

}  // namespace nbl::compiler::pt2
