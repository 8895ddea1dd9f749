// The ops of a graph that move nothing: each turns the layout of one operand into that of its
// results. They serve arrays of numbers and of activation elements alike.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/import/pt2/arguments.h"

namespace nbl::compiler::pt2 {

// A result: the elements that `layout` shows, under the dims `reshape_to` where that is there.
struct Shaped {
  Layout layout;
  std::optional<Dims> reshape_to = {};
};
using ShapeRule = std::vector<Shaped> (*)(const Layout& from, const Arguments& arguments);

// Null where the op is no such op.
ShapeRule find_shape_rule(const std::string& op);
std::vector<std::string> shape_rule_names();

// The operand's name in every such op.
inline constexpr const char* kShapeOperand = "self";

template <typename Array>
Array reshape(const Array& array, const Dims& dims) {
  if (const std::optional<Layout> layout = reshaped(array.layout, dims)) return array.with(*layout);
  return array.compacted().with(row_major(dims));
}

template <typename Array>
std::vector<Array> apply_shape(ShapeRule rule, const Array& from, const Arguments& arguments) {
  std::vector<Array> results;
  for (Shaped& shaped : rule(from.layout, arguments)) {
    const Array result = from.with(std::move(shaped.layout));
    results.push_back(shaped.reshape_to ? reshape(result, *shaped.reshape_to) : result);
  }
  return results;
}

}  // namespace nbl::compiler::pt2
