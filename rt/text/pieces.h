// What all encoders ask of a vocabulary: which piece has which bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "rt/model/model.h"
#include "rt/text/check.h"

namespace nbl {

inline constexpr size_t kMaxTextBytes = size_t{1} << 26;
inline constexpr uint32_t kNoPiece = 0xffffffffu;

struct EncodeOptions {
  bool add_bos = false;  // the BOS token in front, where the model has one and wants it
  bool special = false;  // control pieces in the text stand for their tokens
};

constexpr uint32_t type_bit(PieceType type) {
  return 1u << type;
}

// The types of pieces that stay whole wherever the text has their bytes, as a mask of type_bit().
constexpr uint32_t whole_types_of(EncodeOptions options) {
  return type_bit(kPieceUser) | (options.special ? type_bit(kPieceControl) : 0u);
}

constexpr bool wants_bos(const TokenizerTables& tables, EncodeOptions options) {
  return options.add_bos && tables.add_bos && tables.bos >= 0;
}

// The lowest id of one of `types` with these bytes, or kNoPiece.
uint32_t find_piece(const TokenizerTables& tables, std::string_view bytes, uint32_t types);

bool has_piece_of(const TokenizerTables& tables, uint32_t types);

// Bytes of the longest piece of one of `types` that `text` begins with; 0 = none.
uint32_t whole_prefix(const TokenizerTables& tables, std::string_view text, uint32_t types);

}  // namespace nbl
