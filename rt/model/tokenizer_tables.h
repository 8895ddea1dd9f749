// The tables of the tokenizer as they lie in the model file.
#pragma once

#include <cstdint>
#include <string_view>

namespace nbl {

enum class TokenizerKind : uint8_t { spm, bpe };
inline constexpr std::string_view kTokenizerKindNames[] = {"spm", "bpe"};

// How byte-level BPE cuts a text into words, by the model that brought it up; see rt/text/split.h.
enum class Splitter : uint8_t {
  gpt2,            // contractions, runs of letters, of numbers, of others, each after one space
  llama3,          // contractions of any case, words after one non-letter, up to three digits
  qwen2,           // as llama3, single digits
  starcoder,       // single digits, then gpt2
  deepseek_coder,  // line ends, words, punctuation, CJK, single digits
  deepseek_v3,     // up to three digits, CJK, then words with marks and punctuation
};
inline constexpr std::string_view kSplitterNames[] = {"gpt2",      "llama3",         "qwen2",
                                                      "starcoder", "deepseek_coder", "deepseek_v3"};
inline constexpr uint32_t kSplitterCount = 6;

// Borrows  the model file's bytes; rt/text reads them.
struct TokenizerTables {
  uint32_t count;
  const uint8_t* pieces;
  const uint32_t* offsets;  // count + 1
  const float* scores;      // spm
  const uint8_t* types;
  const uint32_t* sorted;
  const int32_t* byte_tokens;  // 256
  int32_t bos;
  int32_t eos;
  int32_t unknown;
  bool add_bos;
  bool add_space_prefix;
  TokenizerKind kind;
  Splitter splitter;  // bpe
  bool whole_words;   // bpe
  uint32_t merge_count;
  const uint32_t* merge_first;  // bpe: count + 1
  const uint32_t* merge_right;  // merge_count, as the two below
  const uint32_t* merge_result;
  const uint32_t* merge_rank;

  std::string_view piece(uint32_t id) const {
    return {reinterpret_cast<const char*>(pieces) + offsets[id], offsets[id + 1] - offsets[id]};
  }
};

}  // namespace nbl
