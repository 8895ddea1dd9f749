// How a model wants a conversation written, as it lies in the model file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nbl {

// The texts of a table, in the order of the file. In them control pieces stand for their tokens;
// any may be empty.
enum class ChatText : uint8_t {
  start,                     // once, before everything
  default_system,            // the whole turn where a conversation gives none
  open,                      // what the assistant's answer comes after
  close,                     // behind the end of an answer, where another turn follows
  user_before_after_system,  // instead of user_before, right behind a system turn
  system_before,             // what stands around a turn's own text; in the order of roles
  system_after,
  user_before,
  user_after,
  assistant_before,
  assistant_after,  // the end of an answer
};
inline constexpr uint32_t kChatTextCount = 11;
inline constexpr std::string_view kChatTextNames[kChatTextCount] = {
    "start",          "default_system", "open",        "close",      "user_before_after_system",
    "system_before",  "system_after",   "user_before", "user_after", "assistant_before",
    "assistant_after"};

// All texts of a table together; far above the longest default system text that is published.
inline constexpr size_t kMaxChatBytes = 4096;

enum ChatFlags : uint32_t {
  // White space is cut off a turn's text: shifted left by twice the role.
  kChatTrimLeft = 1u << 0,
  kChatTrimRight = 1u << 1,
  // A user's turn right behind a system turn keeps what it begins with.
  kChatKeepLeftAfterSystem = 1u << 6,
  // spm, where a text gets a space in front: so does what follows a control token.
  kChatSpaceAfterControl = 1u << 7,
};
inline constexpr uint32_t kChatFlagsEnd = 1u << 8;

// Borrows  the model file's bytes; rt/text/chat.h reads them.
struct ChatTable {
  std::string_view texts[kChatTextCount];
  uint32_t flags;
  size_t bytes;  // of all texts

  std::string_view text(ChatText which) const { return texts[static_cast<size_t>(which)]; }
};

}  // namespace nbl
