// A text cut into the words within which byte-level BPE merges.
//
// Every family of vocabularies has its rule, published as regular expressions; here each is a small
// function over character classes. Words follow each other without gaps and together are the text.
//
// Source   the pre-tokenizers in the tokenizer.json files of the models named below, as also listed
//          in llama.cpp's llama-vocab.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "rt/model/model.h"

namespace nbl {

// Walks the words of a text. Takes O(n) for n bytes.
//
// Borrows  the text.
class Words {
 public:
  Words(Splitter splitter, std::string_view text) : splitter_(splitter), text_(text) {}

  // Sets *word to the next one; false at the end.
  bool next(std::string_view* word);

 private:
  static constexpr uint32_t kMaxStages = 5;

  Splitter splitter_;
  std::string_view text_;
  size_t at_ = 0;
  // Rules apply in stages: each cuts what the one before left whole. Where the piece that holds
  // at_ ends, stage by stage.
  size_t ends_[kMaxStages] = {};
};

}  // namespace nbl
