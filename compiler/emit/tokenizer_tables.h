// A vocabulary as the tables of the model file (rt/model/schema.fbs).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "rt/model/model.h"

namespace nbl::compiler {

struct TokenizerVectors {
  std::vector<uint8_t> pieces;
  std::vector<uint32_t> offsets;  // count + 1
  std::vector<float> scores;      // bpe: none
  std::vector<uint8_t> types;
  std::vector<uint32_t> sorted;  // ids by (bytes of the piece, id)
  std::array<int32_t, 256> byte_tokens;
  std::vector<uint32_t> merge_first = {};  // bpe: count + 1
  std::vector<uint32_t> merge_right = {};
  std::vector<uint32_t> merge_result = {};
  std::vector<uint32_t> merge_rank = {};
};

// Errors  CompileError: a byte piece is not written <0xNN>.
TokenizerVectors tokenizer_vectors(const TokenizerData& tokenizer);

// The tables as the runtime sees them, once it has checked them.
//
// Borrows  the vectors.
// Errors   CompileError: the tokenizer is malformed.
TokenizerTables checked_tables(const TokenizerData& tokenizer, const TokenizerVectors& vectors);

}  // namespace nbl::compiler
