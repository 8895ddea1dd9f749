// What a device does with the tokenizer and the chat table of a file that was taken.
#pragma once

#include <string_view>
#include <vector>

#include "rt/text/chat.h"
#include "rt/text/detokenize.h"
#include "rt/text/encode.h"
#include "tests/fuzz/support/require.h"

namespace nbl::fuzz {

inline void use_tokenizer(const TokenizerTables& tables) {
  constexpr std::string_view text =
      " Hello  w\xc3\xb6rld \xf0\x9f\x98\x80\n\n12345 don't</s><s> \xff";
  Error error;
  std::vector<uint32_t> ids;
  for (const bool special : {false, true}) {
    std::vector<std::byte> scratch(encode_scratch_bytes(text.size()));
    size_t count = 0;
    Status status = encode(tables, text, {true, special}, scratch, {}, &count, &error);
    if (status.ok()) continue;
    require(status.code() == Code::output_too_small, "a text can be encoded");
    ids.resize(error.value);
    status = encode(tables, text, {true, special}, scratch, ids, &count, &error);
    require(status.ok() && count == ids.size(), "as much room as asked for is enough");
    for (const uint32_t id : ids)
      require(id < tables.count, "ids are in the vocabulary");
  }
  for (uint32_t id = 0; id < tables.count && id < 300; ++id)
    ids.push_back(id);
  Decoder decoder{};
  std::vector<char> out(max_piece_bytes(tables) + 3);
  size_t length = 0;
  for (const uint32_t id : ids)
    require(detokenize(tables, &decoder, id, out, &length, &error).ok(), "every id has a text");
  require(detokenize_flush(&decoder, out, &length, &error).ok(), "what is held is given");
}

inline void use_chat(const TokenizerTables& tables, const ChatTable& table) {
  constexpr std::string_view text = " hi <|im_end|></s>\n";
  ChatState state{};
  for (const uint32_t role : {kChatSystem, kChatUser, kChatUser, kChatAssistant, kChatUser}) {
    const uint32_t options = (role == kChatUser ? kChatOpen : 0) | kChatCut;
    if (role == kChatAssistant) state.last = kChatUser + 1;
    std::vector<std::byte> scratch(chat_scratch_bytes(table.bytes, text.size()));
    Error error;
    size_t count = 0;
    Status status =
        chat_turn(tables, table, &state, role, text, options, scratch, {}, &count, &error);
    if (status.ok()) continue;
    require(status.code() == Code::output_too_small, "a turn can be written");
    std::vector<uint32_t> ids(error.value);
    status = chat_turn(tables, table, &state, role, text, options, scratch, ids, &count, &error);
    require(status.ok() && count == ids.size(), "as much room as a turn asks for is enough");
    for (const uint32_t id : ids)
      require(id < tables.count, "ids of a turn are in the vocabulary");
  }
}

}  // namespace nbl::fuzz
