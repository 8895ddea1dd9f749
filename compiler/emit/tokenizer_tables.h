// A vocabulary as the tables of the model file (rt/model/schema.fbs).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

struct TokenizerVectors {
  std::vector<uint8_t> pieces;
  std::vector<uint32_t> offsets;  // count + 1
  std::vector<float> scores;
  std::vector<uint8_t> types;
  std::vector<uint32_t> sorted;  // ids by (bytes of the piece, id)
  std::array<int32_t, 256> byte_tokens;
};

// Errors  CompileError: a byte piece is not written <0xNN>.
TokenizerVectors tokenizer_vectors(const TokenizerData& tokenizer);

}  // namespace nbl::compiler
