// The architectures that nibble builds graphs for, as importers need to know them. Names are those
// of GGUF's general.architecture.
#pragma once

#include <string>
#include <string_view>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

bool is_architecture(std::string_view name);

// "llama, qwen2, ...", for errors.
std::string architecture_names();

// Sets what the name alone fixes, once `architecture` and `dim` are known: the tensors that a layer
// has beside llama's, the gate, the scale of embeddings.
//
// Errors  ImportError where the architecture is not known: names it and those that are.
void apply_architecture(std::string_view file, Hyper* hyper);

// `windows` where every `period`-th layer sees all positions and the others `window`.
std::vector<uint32_t> alternating_windows(uint32_t layers, uint32_t window, uint32_t period);

}  // namespace nbl::compiler
