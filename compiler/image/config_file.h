// What a model needs on a board, as constants of a C header.
#pragma once

#include <string>

#include "boards/boards.h"
#include "compiler/board/fit.h"
#include "rt/nibble.h"

namespace nbl::compiler {

// A header with the sizes of arena and device memory, and a function that sets an nbl_config's
// options to what they are for. `guard` names the include guard.
std::string config_source(const nbl_memory& memory, const Fit& fit, const Board& board,
                          uint64_t model_bytes);

}  // namespace nbl::compiler
