// What the runtime itself says that a model takes on a board.
#pragma once

#include <vector>

#include "boards/boards.h"
#include "rt/model/model.h"
#include "rt/nibble.h"

namespace nbl::compiler {

// Options of an engine, as nbl_config has them.
struct EngineSizes {
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t max_burst = 0;
  uint32_t logits = NBL_LOGITS_NONE;
};

// The sizes that nbl_memory_needed() tells on a device with the board's facts, by asking it on the
// fake driver (boards/fake).
//
// Errors  CompileError, with the runtime's sentence.
nbl_memory memory_on(const Model& model, const Board& board, const EngineSizes& sizes);

// The flags that the board wants, by their names in rt/nibble.h too.
struct ConfigFlag {
  uint32_t bit;
  const char* name;
};
std::vector<ConfigFlag> flags_of(const Board& board);

}  // namespace nbl::compiler
