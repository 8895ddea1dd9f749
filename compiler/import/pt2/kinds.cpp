#include "compiler/import/pt2/kinds.h"

namespace nbl::compiler::pt2 {

Elements expanded_to(const Elements& elements, const Dims& dims) {
  return elements.dims() == dims ? elements : elements.with(expanded(elements.layout, dims));
}

const Source* sole_source(const Context& context, const Elements& elements, int32_t* index) {
  if (!elements.storage) {
    *index = elements.whole;
    return &context.source(elements.whole);
  }
  std::optional<int32_t> sole;
  const auto differs = [&](const Element& element) {
    const bool other = sole && *sole != element.source;
    sole = element.source;
    return other;
  };
  for (const int64_t place : places(elements.layout)) {
    const Element element = elements.at(place);
    if (element.source != kCombined) {
      if (differs(element)) return nullptr;
      continue;
    }
    for (const Term& term : context.combinations.terms(element)) {
      if (differs(term.element)) return nullptr;
    }
  }
  *index = sole.value_or(0);
  return sole ? &context.source(*sole) : nullptr;
}

bool is_kind(const Context& context, const Elements& elements, Source::Kind kind) {
  if (elements.layout.count() == 0) return false;
  const Element first = elements.at(elements.layout.offset);
  const Element named =
      first.source == kCombined ? context.combinations.terms(first)[0].element : first;
  return context.source(named.source).kind == kind;
}

}  // namespace nbl::compiler::pt2
