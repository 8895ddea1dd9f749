// Turns of a conversation to token ids, by the table that the compiler made of the model's chat
// template.
//
// What a turn writes is one text: what closes the answer before it, what stands before the turn's
// own text, that text, what stands after it, and what opens the answer. Control pieces count in the
// table's parts of it alone, so that no text of a user can end its turn; they cut the whole into
// pieces that are encoded as texts are, without a BOS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rt/base/status.h"
#include "rt/model/model.h"
#include "rt/text/encode.h"

namespace nbl {

// The values of rt/nibble.h.
inline constexpr uint32_t kChatSystem = 0, kChatUser = 1, kChatAssistant = 2;  // roles
inline constexpr uint32_t kChatOpen = 1u << 0;  // open the assistant's turn behind this one
inline constexpr uint32_t kChatCut = 1u << 1;   // no stop token ends the answer before this turn

// Where a conversation is; zeroed, at its beginning. The same bytes as nbl_chat in rt/nibble.h.
struct ChatState {
  uint8_t last;     // 0, a role + 1, or kChatIsOpen
  uint8_t in_text;  // what was written last is text, which the next text goes on with
};
inline constexpr uint8_t kChatIsOpen = 4;

// Working memory for a turn, however it is aligned: the turn as one text, and what encoding it
// takes. SIZE_MAX past kMaxTextBytes.
constexpr size_t chat_scratch_bytes(size_t table_bytes, size_t text_bytes) {
  if (text_bytes > kMaxTextBytes - kMaxChatBytes) return SIZE_MAX;
  const size_t whole = text_bytes + table_bytes;
  return 3 + ((whole + 3) & ~size_t{3}) + encode_scratch_bytes(whole);
}

// Writes the ids of a turn to `out` and their number to *count, and moves *state on.
//
// Errors   bad_argument (no role), wrong_turn (a system turn that is not the first, an assistant's
// where its turn is open),
//          output_too_small (scratch or out; value = the size needed). On error *state and *count
//          are untouched, `out` may not be.
Status chat_turn(const TokenizerTables& tables, const ChatTable& table, ChatState* state,
                 uint32_t role, std::string_view text, uint32_t options,
                 std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                 Error* error);

}  // namespace nbl
