#include "compiler/chat/chat_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/error.h"
#include "rt/text/check.h"

namespace nbl::compiler {
namespace {

// The id of a piece that may stand for itself in a template, or -1.
int32_t find_control(const TokenizerData& tokenizer, std::string_view piece) {
  int32_t other = -1;
  for (size_t id = 0; id < tokenizer.pieces.size(); ++id) {
    if (tokenizer.pieces[id] != piece || tokenizer.types[id] == kPieceByte) continue;
    if (tokenizer.types[id] == kPieceControl) return static_cast<int32_t>(id);
    if (other < 0) other = static_cast<int32_t>(id);
  }
  return other;
}

constexpr std::string_view kSpaces = " \t\r\n";

// Where control pieces of a text end and begin: what a token takes of the white space beside it is
// left out of the texts, and cut off the turns' own.
struct Stripping {
  const std::map<std::string, uint8_t>& strips;
  ChatFormat* format;

  bool takes(const std::string& piece, uint8_t side) const {
    const auto found = strips.find(piece);
    return found != strips.end() && (found->second & side) != 0;
  }
  void right_of(const std::string& piece, ChatText which, uint32_t trim) const {
    if (!takes(piece, kStripsRight)) return;
    std::string& text = format->text(which);
    for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) {
      const size_t begin = at + piece.size();
      const size_t end = std::min(text.find_first_not_of(kSpaces, begin), text.size());
      text.erase(begin, end - begin);
      if (begin == text.size()) format->flags |= trim;
    }
  }
  void of_close(const std::string& piece) const {
    std::string& close = format->text(ChatText::close);
    if (!takes(piece, kStripsRight) || !format->text(ChatText::assistant_after).ends_with(piece)) {
      return;
    }
    close.erase(0, std::min(close.find_first_not_of(kSpaces), close.size()));
  }
  void left_of(const std::string& piece, ChatText which, uint32_t trim) const {
    if (!takes(piece, kStripsLeft)) return;
    std::string& text = format->text(which);
    for (size_t at = text.rfind(piece); at != std::string::npos;) {
      const size_t last = at == 0 ? std::string::npos : text.find_last_not_of(kSpaces, at - 1);
      const size_t begin = last == std::string::npos ? 0 : last + 1;
      text.erase(begin, at - begin);
      if (begin == 0) format->flags |= trim;
      at = begin == 0 ? std::string::npos : text.rfind(piece, begin - 1);
    }
  }
};

void strip_spaces(const TokenizerData& tokenizer, ChatFormat* format) {
  const Stripping stripping{format->strips.empty() ? tokenizer.strips : format->strips, format};
  for (const std::string& piece : format->controls) {
    for (size_t i = 0; i < kChatTextCount; ++i) {
      const auto which = static_cast<ChatText>(i);
      const auto first = static_cast<size_t>(ChatText::system_before);
      const bool of_turn = i >= first;
      const bool before = of_turn && (i - first) % 2 == 0;
      const auto role = static_cast<uint32_t>(of_turn ? (i - first) / 2 : 0);
      stripping.right_of(piece, which, before ? kChatTrimLeft << 2 * role : 0);
      if (which == ChatText::assistant_after) stripping.of_close(piece);
      stripping.left_of(piece, which, of_turn && !before ? kChatTrimRight << 2 * role : 0);
    }
  }
}

void fit(const ChatFormat& format, TokenizerData* tokenizer, std::vector<uint32_t>* stop_tokens) {
  for (const std::string& piece : format.controls) {
    const int32_t id = piece.empty() ? -1 : find_control(*tokenizer, piece);
    if (id < 0) {
      throw CompileError(
          fmt::format("a chat of the family {} needs the token {}, which the "
                      "vocabulary lacks",
                      format.family, piece.empty() ? "that ends a text" : piece));
    }
    tokenizer->types[static_cast<size_t>(id)] = kPieceControl;
  }
  const int32_t end = format.end.empty() ? tokenizer->eos : find_control(*tokenizer, format.end);
  if (end >= 0) stop_tokens->push_back(static_cast<uint32_t>(end));
  std::ranges::sort(*stop_tokens);
  stop_tokens->erase(std::unique(stop_tokens->begin(), stop_tokens->end()), stop_tokens->end());
}

}  // namespace

ChatChoice choose_chat(const std::string& family, TokenizerData* tokenizer,
                       std::vector<uint32_t>* stop_tokens) {
  if (family == "none") return {};
  const std::string& text = tokenizer->chat_template;
  if (family.empty() && text.empty()) return {};
  const std::string known = family.empty() ? recognise_chat(text) : family;
  if (known.empty()) {
    return {.format = {},
            .note = fmt::format("the model's chat template is of no family that nibble knows, so "
                                "that it cannot chat; --chat takes one of {}",
                                chat_family_names())};
  }
  try {
    ChatFormat format = make_chat(known, text, *tokenizer);
    fit(format, tokenizer, stop_tokens);
    strip_spaces(*tokenizer, &format);
    if (tokenizer->space_after_control) format.flags |= kChatSpaceAfterControl;
    const size_t bytes = chat_table(format).bytes;
    if (bytes > kMaxChatBytes) {
      throw CompileError(fmt::format(
          "the texts of the chat template have {} bytes; {} are the limit", bytes, kMaxChatBytes));
    }
    return {.format = std::move(format), .note = {}};
  } catch (const CompileError& error) {
    if (!family.empty()) throw;
    return {.format = {}, .note = fmt::format("{}: the model cannot chat", error.what())};
  }
}

ChatTable chat_table(const ChatFormat& format) {
  ChatTable table{};
  table.flags = format.flags;
  for (size_t i = 0; i < kChatTextCount; ++i) {
    table.texts[i] = format.texts[i];
    table.bytes += format.texts[i].size();
  }
  return table;
}

}  // namespace nbl::compiler
