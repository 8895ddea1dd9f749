// Text to token ids: SentencePiece-style BPE with byte fallback, over the tables of a model file.
//
// The text gets a space in front (add_space_prefix, only if it is not empty), spaces become U+2581,
// and it is split into UTF-8 characters, invalid bytes alone, and pieces of type user (and, if
// asked for, control), the longest at each place, which stay whole. Of all neighbours whose
// concatenation is a piece those with the best score are merged, the leftmost of equals, until
// there are none. Pieces of type unused take part, but are taken apart again in the end, as in
// SentencePiece. What is no piece becomes byte tokens, or one unknown token where a byte has none.
// Byte and unknown pieces are never found in a text. No other normalisation is done.
//
// Source   SentencePiece's bpe_model and llama.cpp's SPM tokenizer, whose test vectors it meets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rt/base/status.h"
#include "rt/model/model.h"
#include "rt/text/pieces.h"

namespace nbl {

// Working memory that spm_encode() needs, 4-byte aligned: per character (at most text_bytes + 1) 20
// bytes of symbol, two merge candidates of 12 bytes and 3 bytes of text, and one symbol for the
// end: 47 * text_bytes + 67. SIZE_MAX past kMaxTextBytes.
constexpr size_t spm_scratch_bytes(size_t text_bytes) {
  return text_bytes > kMaxTextBytes ? SIZE_MAX : 47 * text_bytes + 67;
}

// Writes the ids of `text` to `out` and their number to *count. Takes O(n log n) for n bytes of
// text.
//
// Errors   bad_argument (text past kMaxTextBytes, scratch not aligned), output_too_small (scratch
// or
//          out; value = the size needed). On error out and *count are untouched.
Status spm_encode(const TokenizerTables& tables, std::string_view text, EncodeOptions options,
                  std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                  Error* error);

}  // namespace nbl
