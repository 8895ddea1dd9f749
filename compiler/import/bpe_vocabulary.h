// What byte-level BPE vocabularies have in common, whatever file they come from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

// The bytes that a piece stands for where each is written as a printable character, as GPT-2's
// vocabulary files do; nothing where a character stands for no byte.
//
// Source   GPT-2's encoder.py: bytes 33..126, 161..172 and 174..255 are themselves, the others are
//          U+0100 onwards in ascending order.
std::optional<std::string> from_printable_bytes(std::string_view text);

// Finds normal pieces by their bytes; of equal ones the lowest id.
//
// Borrows  the pieces.
class PieceIndex {
 public:
  explicit PieceIndex(const TokenizerData& data);
  std::optional<uint32_t> find(std::string_view bytes) const;

 private:
  std::unordered_map<std::string_view, uint32_t> ids_;
};

// The splitter that a GGUF file or a user names: our own names and those that
// tokenizer.ggml.pre has for the same rules. whole_words is set as that family wants it.
std::optional<Splitter> splitter_named(std::string_view name, bool* whole_words);

// Every pair of pieces whose concatenation is a piece, ranked by the id of the result: what
// tiktoken's vocabularies mean, which list ranks and no merges.
std::vector<Merge> merges_of_ranks(const TokenizerData& data);

}  // namespace nbl::compiler
