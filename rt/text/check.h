// The checks that make a tokenizer from a hostile file safe to use.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/model/model.h"

namespace nbl {

// The types of pieces, as in the file.
enum PieceType : uint8_t {
  kPieceNormal = 0,
  kPieceControl = 1,
  kPieceByte = 2,
  kPieceUnknown = 3,
  kPieceUser = 4,
  kPieceUnused = 5,
};
inline constexpr uint32_t kPieceTypeCount = 6;

// Elements of the file's vectors, in the order of TokenizerTables.
struct TokenizerSizes {
  uint64_t pieces;
  uint64_t offsets;
  uint64_t scores;
  uint64_t types;
  uint64_t sorted;
  uint64_t byte_tokens;
  uint64_t merge_first;
  uint64_t merge_right;
  uint64_t merge_result;
  uint64_t merge_rank;
};

// Checks everything that encoding and decoding rely on: each vector has its length (count + 1
// offsets, count scores (bpe: none), types and sorted, 256 byte tokens); offsets ascend inside
// `pieces`; scores are no NaN; types are known; `sorted` holds each id once, strictly ascending by
// (bytes, id); ids are in range; and (spm) every byte has a token or there is an unknown token, so
// that any text can be encoded. Merges (bpe): merge_first ascends from 0 to their number, those of
// one token ascend by what is on their right, ids are in range, and a result is as long as its two
// parts.
//
// Errors   bad_tokenizer: name = the table, value = what was found, limit = what it must stay below
//          or be equal to.
Status check_tokenizer(const TokenizerTables& tables, const TokenizerSizes& sizes, Error* error);

}  // namespace nbl
