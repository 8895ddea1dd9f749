// Text to token ids with a checkpoint's or model's tokenizer, by the runtime's own encoder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "rt/text/pieces.h"

namespace nbl::compiler {

// Errors  CompileError: the text is too long.
std::vector<uint32_t> tokenize(const TokenizerTables& tables, std::string_view text,
                               EncodeOptions options);

// Without BOS.
//
// Errors  CompileError: the tokenizer is malformed, or the text too long.
std::vector<uint32_t> tokenize(const TokenizerData& tokenizer, std::string_view text);

// The ids of a text file, by the checkpoint's tokenizer.
//
// Errors  CompileError: as above, the file cannot be read, or the checkpoint has no tokenizer.
std::vector<uint32_t> tokenize_file(const Checkpoint& checkpoint,
                                    const std::filesystem::path& text);

}  // namespace nbl::compiler
