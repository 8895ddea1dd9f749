// What a graph's tensors are made of while it is walked: every element of a tensor that depends on
// the tokens is known by name, as element i of something the compiled model computes. Views,
// permutations, slices and joins then only move names about, and what is left when an op wants its
// operand says which rows and columns it takes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "compiler/import/pt2/expression.h"

namespace nbl::compiler::pt2 {

// Element `index` of source `source`; where `source` is kCombined, combination `index`.
struct Element {
  int32_t source = 0;
  int32_t index = 0;
  bool operator==(const Element&) const = default;
};
inline constexpr int32_t kCombined = -1;

// element * factor * element `coefficient_index` of the coefficient, where there is one.
struct Term {
  Element element;
  float factor = 1;
  int32_t coefficient = -1;  // of Combinations::coefficient()
  int32_t coefficient_index = 0;
};

// Sums of terms, as a rotation is one.
class Combinations {
 public:
  Element add(std::span<const Term> terms);
  std::span<const Term> terms(Element combined) const;

  // dims: of the expression at the step of the walk.
  int32_t coefficient(const ExpressionRef& expression, const Dims& dims);
  const ExpressionRef& coefficient(int32_t index) const;
  const Dims& coefficient_dims(int32_t index) const;

 private:
  struct Range {
    uint32_t first, count;
  };
  std::vector<Term> terms_;
  std::vector<Range> ranges_;
  std::vector<ExpressionRef> coefficients_;
  std::vector<Dims> dims_;  // of the coefficients
};

struct Elements {
  Layout layout;
  int32_t whole = 0;  // without storage: place i is element i of this source
  std::shared_ptr<const std::vector<Element>> storage = {};
  double factor = 1;  // of every element

  const Dims& dims() const { return layout.dims; }
  Element at(int64_t place) const;
  // All in logical order.
  std::vector<Element> list() const;

  Elements with(Layout other) const { return {std::move(other), whole, storage, factor}; }
  Elements compacted() const;
};

// All elements of a source, under these dims.
Elements whole_source(int32_t source, Dims dims);
Elements make_elements(Dims dims, std::vector<Element> elements, double factor = 1);

}  // namespace nbl::compiler::pt2
