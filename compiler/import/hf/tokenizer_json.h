// tokenizer.json of Hugging Face: vocabularies of byte-pair encoding, over bytes or over characters
// with U+2581 for spaces and bytes for characters that it lacks.
#pragma once

#include "compiler/import/checkpoint.h"
#include "compiler/import/hf/json_file.h"

namespace nbl::compiler::hf {

// A vocabulary of a kind that the device does not have. The text names what it lacks.
class UnknownVocabulary : public ImportError {
 public:
  using ImportError::ImportError;
};

// A template that puts one token before a text sets bos and add_bos; eos is not set.
//
// Errors  UnknownVocabulary: another kind of model, or a rule that the device does not have (by
//         name). ImportError: a malformed file.
TokenizerData read_tokenizer_json(const JsonFile& file, std::vector<std::string>* warnings);

// The parts that lie in files of their own.

// Scores under which SentencePiece's algorithm, which the device runs, makes the merges of the
// lists in their order: those of a piece that is made earlier are higher. Warns where the list is
// no SentencePiece one, so that a text could get other tokens.
//
// Shapes  a score a piece, all finite.
std::vector<float> scores_of_merges(const std::string& file, const TokenizerData& data,
                                    const std::vector<Merge>& merges,
                                    std::vector<std::string>* warnings);

// added_tokens: their pieces, ids and types.
void read_added_tokens(const JsonField& tokenizer, TokenizerData* data,
                       std::vector<std::string>* warnings);

// post_processor: whether BOS stands before a text.
void read_template(const JsonField& tokenizer, TokenizerData* data,
                   std::vector<std::string>* warnings);

// Far above any published vocabulary; keeps the pieces of a hostile file few.
inline constexpr uint32_t kMaxPieces = 1u << 22;
// Published ids leave gaps of a few hundred. Each is a piece to be sorted.
inline constexpr uint32_t kMaxGaps = 1u << 16;

// The largest id that may stand in a list after which there are so many pieces at least.
constexpr uint32_t largest_id(size_t pieces) {
  return (pieces < kMaxPieces - kMaxGaps ? static_cast<uint32_t>(pieces) + kMaxGaps : kMaxPieces) -
         1;
}

// The text of a piece under an id, with room made for it. What the id held before must be nothing
// or the same.
//
// Errors  ImportError: the id is taken.
void place_piece(const JsonField& where, uint32_t id, std::string text, uint8_t type,
                 TokenizerData* data);

}  // namespace nbl::compiler::hf
