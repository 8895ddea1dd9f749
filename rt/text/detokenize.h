// Token ids to text, one id at a time, in whole UTF-8 characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rt/base/status.h"
#include "rt/model/model.h"

namespace nbl {

// A text being decoded; zeroed, it starts one. The same bytes as nbl_decoder in rt/nibble.h.
struct Decoder {
  uint8_t held[4];     // the bytes of a character that is not complete yet
  uint8_t held_count;  // at most 3
  uint8_t begun;       // a token gave text already
};

// The longest piece, at least 3 (the unknown token is written as U+FFFD). Looks at every piece.
uint32_t max_piece_bytes(const TokenizerTables& tables);

// Writes what `token` adds to the text: its piece with spaces for U+2581, its byte for a byte
// token, U+FFFD for an unknown token, nothing for a control token. Where the model puts a space in
// front of a text, one space that the text's first piece begins with is dropped. The bytes of an
// incomplete character are held back; bytes that can be part of none pass through.
//
// Errors   bad_token_text, bad_argument (no Decoder), output_too_small where `text` has less room
// than
//          the bytes held and the token's piece: max_piece_bytes() + 3 is always enough. On error
//          nothing is changed.
Status detokenize(const TokenizerTables& tables, Decoder* decoder, uint32_t token,
                  std::span<char> text, size_t* length, Error* error);

// Writes the bytes that are still held; at most 3. Errors as above.
Status detokenize_flush(Decoder* decoder, std::span<char> text, size_t* length, Error* error);

}  // namespace nbl
