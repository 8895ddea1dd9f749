// How a model wants a conversation written: the family of its chat template, as the table that
// rt/text/chat.h reads.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "rt/model/chat_table.h"

namespace nbl::compiler {

struct ChatFormat {
  std::string family;
  std::array<std::string, kChatTextCount> texts;  // in the order of ChatText
  uint32_t flags = 0;                             // ChatFlags
  // Pieces that stand for themselves, each of which the vocabulary must have.
  std::vector<std::string> controls;
  std::map<std::string, uint8_t> strips;  // where the vocabulary does not say it itself
  std::string end;  // the one of them that ends an answer; empty: the vocabulary's eos

  std::string& text(ChatText which) { return texts[static_cast<size_t>(which)]; }
  const std::string& text(ChatText which) const { return texts[static_cast<size_t>(which)]; }
};

// The families that --chat takes, for people: "llama2, llama3, ...".
std::string chat_family_names();

// The family of a template by what is in it, or "" where it is none of them.
std::string recognise_chat(std::string_view chat_template);

// The table of a family for this vocabulary. What a template says itself (a default system text, a
// date, spaces) is taken from `chat_template`, which may be empty.
//
// Errors  CompileError: no such family, or a control piece that the vocabulary lacks.
ChatFormat make_chat(const std::string& family, std::string_view chat_template,
                     const TokenizerData& tokenizer);

struct ChatChoice {
  std::optional<ChatFormat> format;
  std::string note;  // why there is none, or empty
};

// The table of the tokenizer's template. `family` overrides what it is taken for: "" = its own,
// "none" = no table. Pieces that the table needs become control pieces of the tokenizer, so that no
// text can hold them, and the end of an answer becomes one of the stop tokens.
//
// Errors  CompileError, where a family was asked for.
ChatChoice choose_chat(const std::string& family, TokenizerData* tokenizer,
                       std::vector<uint32_t>* stop_tokens);

// The views that the runtime reads. Borrows the format.
ChatTable chat_table(const ChatFormat& format);

}  // namespace nbl::compiler
