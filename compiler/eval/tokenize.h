// Text to token ids with a checkpoint's tokenizer, by the runtime's own encoder.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

// The ids of `text`, without BOS.
//
// Errors  CompileError: the tokenizer is malformed, or the text too long.
std::vector<uint32_t> tokenize(const TokenizerData& tokenizer, std::string_view text);

}  // namespace nbl::compiler
