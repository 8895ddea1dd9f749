#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/inspect/inspect.h"
#include "rt/text/chat.h"

namespace nbl::compiler {
namespace {

struct Turn {
  uint32_t role;
  const char* text;
};

constexpr Turn kExample[] = {{kChatSystem, "Be brief."},
                             {kChatUser, "Hello!"},
                             {kChatAssistant, "Hi."},
                             {kChatUser, "And bye?"}};

// The tokens of the example, its last turn open for an answer.
std::vector<uint32_t> example_tokens(const TokenizerTables& tables, const ChatTable& chat) {
  std::vector<uint32_t> tokens;
  ChatState state{};
  for (const Turn& turn : kExample) {
    const std::string_view text = turn.text;
    std::vector<std::byte> scratch(chat_scratch_bytes(chat.bytes, text.size()));
    std::vector<uint32_t> ids(4 * (chat.bytes + text.size()) + 8);
    size_t count = 0;
    const uint32_t open = &turn == std::end(kExample) - 1 ? kChatOpen : 0;
    const Status status =
        chat_turn(tables, chat, &state, turn.role, text, open, scratch, ids, &count, nullptr);
    if (!status.ok()) return {};
    tokens.insert(tokens.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return tokens;
}

std::string in_quotes(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Which ends of a role's texts lose their white space.
std::string_view trimmed_ends(const ChatTable& chat, uint32_t role) {
  constexpr std::string_view kEnds[] = {"none", "left", "right", "both"};
  return kEnds[chat.flags >> 2 * role & (kChatTrimLeft | kChatTrimRight)];
}

}  // namespace

std::string chat_text(const Model& model) {
  TokenizerTables tables{};
  ChatTable chat;
  if (!model.tokenizer(&tables) || !model.chat(&chat)) return "\nno chat table\n";
  std::string text = fmt::format(
      "\nchat table; ends of texts without their white space: system {}, user {}, assistant {}\n",
      trimmed_ends(chat, kChatSystem), trimmed_ends(chat, kChatUser),
      trimmed_ends(chat, kChatAssistant));
  for (uint32_t i = 0; i < kChatTextCount; ++i)
    text += fmt::format("  {:25} {}\n", kChatTextNames[i], in_quotes(chat.texts[i]));
  const std::vector<uint32_t> tokens = example_tokens(tables, chat);
  std::string pieces;
  for (const uint32_t token : tokens)
    pieces += tables.piece(token);
  text += fmt::format("  {:25} {}\n  {:25} {}\n", "example", in_quotes(pieces), "its tokens",
                      fmt::join(tokens, " "));
  return text;
}

nlohmann::json chat_json(const Model& model) {
  TokenizerTables tables{};
  ChatTable chat;
  if (!model.tokenizer(&tables) || !model.chat(&chat)) return nullptr;
  nlohmann::json json = {{"flags", chat.flags}, {"example", example_tokens(tables, chat)}};
  for (uint32_t i = 0; i < kChatTextCount; ++i)
    json["texts"][std::string(kChatTextNames[i])] = chat.texts[i];
  return json;
}

}  // namespace nbl::compiler
