// What a tokenizer.json does to a text before its merges: normalizer and pre_tokenizer.
#pragma once

#include <string>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/import/json_field.h"

namespace nbl::compiler::hf {

struct TextRules {
  // spm: spaces become U+2581 and the text is one word. bpe: bytes, cut by the splitter.
  TokenizerKind kind = TokenizerKind::spm;
  Splitter splitter = Splitter::gpt2;  // bpe
  bool add_space_prefix = false;       // spm: texts get a space in front
  bool space_after_control = true;     // spm: so does what follows a control token
  bool splits_at_spaces = false;       // spm: merges stay between spaces
};

// Errors  ImportError: a rule that the device does not have, by its name or its regular expression.
TextRules read_text_rules(const JsonField& tokenizer, std::vector<std::string>* warnings);

}  // namespace nbl::compiler::hf
