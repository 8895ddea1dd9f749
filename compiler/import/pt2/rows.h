// From elements back to tensors: which rows and columns a view takes, and the ops that make them
// lie in order.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// The elements of a view by the token that they belong to. Every token has the same columns.
struct Rows {
  std::vector<int64_t> tokens;                 // those present, ascending
  std::vector<std::vector<Element>> elements;  // of each, in logical order
  std::vector<int32_t> row, slot;              // where each logical element is in `elements`

  int64_t columns() const { return static_cast<int64_t>(elements.at(0).size()); }
};

// Errors  NodeError, where tokens differ in their columns or elements have none.
Rows rows_of(const Context& context, const Elements& elements);

// A tensor, and the view as a view of it. Its rows are all tokens; the view may have fewer.
struct Based {
  int32_t tensor = kAbsent;
  Elements view;
};

// A tensor with the columns of the view in the view's order. Emits what that takes: slices, joins,
// permutations, a rotation, factors.
//
// head_dim   of a rotation that the view may be; 0: not known.
Based ordered(Context& context, const Elements& elements, uint32_t head_dim = 0);

// The same, but any order of all columns of one tensor stays as it is.
Based based(Context& context, const Elements& elements);

// The view with the elements of one activation replaced by those of another of the same shape.
Elements renamed(Context& context, const Elements& view, int32_t tensor);

// The tensor with these elements' columns, in their order.
int32_t gathered(Context& context, const std::vector<Element>& columns);

// Whether every element is one of an activation, with no sums and factors.
bool is_plain(const Context& context, const Elements& elements);

}  // namespace nbl::compiler::pt2
