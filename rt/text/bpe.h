// Text to token ids: byte-level BPE, over the tables of a model file.
//
// Pieces of type user (and, if asked for, control) stay whole, the longest at each place. What lies
// between them is cut into words (rt/text/split.h). A word that is a piece is that token where the
// vocabulary says so (Llama 3); otherwise it starts as one token a byte, and of all neighbours that
// have a merge those with the lowest rank are merged, the leftmost of equals, until there are none.
// A byte without a token gives the unknown token, or nothing where there is none.
//
// Source   Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), 2.2; the
//          merge order is that of Hugging Face's tokenizers and of tiktoken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rt/base/status.h"
#include "rt/model/model.h"
#include "rt/text/pieces.h"

namespace nbl {

// Working memory that bpe_encode() needs, 4-byte aligned: a byte of text takes 16 bytes of symbol,
// two merge candidates of 12 bytes and an id, and there is one symbol for the end. SIZE_MAX past
// kMaxTextBytes.
constexpr size_t bpe_scratch_bytes(size_t text_bytes) {
  return text_bytes > kMaxTextBytes ? SIZE_MAX : 44 * text_bytes + 16;
}

// Writes the ids of `text` to `out` and their number to *count. Takes O(n log n) for n bytes of
// text.
//
// Errors   bad_argument (text past kMaxTextBytes, scratch not aligned), output_too_small (scratch
//          or out; value = the size needed). On error out and *count are untouched.
Status bpe_encode(const TokenizerTables& tables, std::string_view text, EncodeOptions options,
                  std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                  Error* error);

}  // namespace nbl
