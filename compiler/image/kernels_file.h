// Which kernels an image needs, as a source file that makes it link no others.
#pragma once

#include <string>
#include <vector>

#include "boards/boards.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"

namespace nbl::compiler {

// The variants that the model's plans for the board use, with and without a sliding context, and
// those of a plan held to the floor: what remains where an update of the driver changes what the
// device says of itself. Ascending, each once.
std::vector<VariantId> needed_kernels(const Model& model, const Board& board);

// Bytes of SPIR-V in them.
uint64_t kernel_bytes(const std::vector<VariantId>& kernels);

// A C++20 source that defines nbl::kVariantWords (rt/kernels/variants.h) with these and null for
// the rest. Linked before libnibble.a, it takes the place of the library's own table.
std::string kernels_source(const std::vector<VariantId>& kernels, const std::string& what_for);

}  // namespace nbl::compiler
