#include "compiler/import/pt2/elements.h"

#include <algorithm>

#include "compiler/import/pt2/array_limits.h"

namespace nbl::compiler::pt2 {

Element Combinations::add(std::span<const Term> terms) {
  ranges_.push_back({static_cast<uint32_t>(terms_.size()), static_cast<uint32_t>(terms.size())});
  terms_.insert(terms_.end(), terms.begin(), terms.end());
  return {kCombined, static_cast<int32_t>(ranges_.size()) - 1};
}

std::span<const Term> Combinations::terms(Element combined) const {
  const Range& range = ranges_.at(static_cast<size_t>(combined.index));
  return std::span(terms_).subspan(range.first, range.count);
}

int32_t Combinations::coefficient(const ExpressionRef& expression, const Dims& dims) {
  const auto found = std::ranges::find(coefficients_, expression);
  if (found == coefficients_.end()) {
    coefficients_.push_back(expression);
    dims_.push_back(dims);
    return static_cast<int32_t>(coefficients_.size()) - 1;
  }
  return static_cast<int32_t>(found - coefficients_.begin());
}

const ExpressionRef& Combinations::coefficient(int32_t index) const {
  return coefficients_.at(static_cast<size_t>(index));
}

const Dims& Combinations::coefficient_dims(int32_t index) const {
  return dims_.at(static_cast<size_t>(index));
}

Element Elements::at(int64_t place) const {
  if (storage) return storage->at(static_cast<size_t>(place));
  return {whole, static_cast<int32_t>(place)};
}

std::vector<Element> Elements::list() const {
  std::vector<Element> all;
  all.reserve(static_cast<size_t>(layout.count()));
  for (const int64_t place : places(layout))
    all.push_back(at(place));
  return all;
}

Elements Elements::compacted() const {
  return make_elements(layout.dims, list(), factor);
}

Elements whole_source(int32_t source, Dims dims) {
  return {.layout = row_major(std::move(dims)), .whole = source};
}

Elements make_elements(Dims dims, std::vector<Element> elements, double factor) {
  struct Kept {
    std::vector<Element> elements;
    HeldElements held;
  };
  const auto kept = std::make_shared<Kept>();
  kept->held.hold(elements.size());
  kept->elements = std::move(elements);
  return {.layout = row_major(std::move(dims)),
          .whole = 0,
          .storage = {kept, &kept->elements},
          .factor = factor};
}

}  // namespace nbl::compiler::pt2
