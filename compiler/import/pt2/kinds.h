// What the elements of a view belong to.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// The source of all elements, where it is one; else null. Sums have the source of their terms.
const Source* sole_source(const Context& context, const Elements& elements, int32_t* index);
bool is_kind(const Context& context, const Elements& elements, Source::Kind kind);

// As many elements as the broadcast dims ask for.
Elements expanded_to(const Elements& elements, const Dims& dims);

}  // namespace nbl::compiler::pt2
