#include "rt/text/chat.h"

#include <cstring>

#include "rt/base/checked.h"
#include "rt/text/unicode.h"

namespace nbl {
namespace {

// A turn as one text in `bytes`; control pieces count outside of [text_begin, text_end).
struct Turn {
  const ChatTable& table;
  char* bytes;
  size_t size;
  size_t text_begin;
  size_t text_end;

  void add(std::string_view part) {
    if (!part.empty()) memcpy(bytes + size, part.data(), part.size());
    size += part.size();
  }
  void add(ChatText which) { add(table.text(which)); }
};

struct Writer {
  TokenizerTables tables;
  bool space_after_control;
  bool in_text;
  std::span<std::byte> scratch;
  std::span<uint32_t> out;
  size_t count;  // ids there are, even where `out` ends before them
};

// White space as Python's str.strip() has it, which the templates call: ASCII's separators too.
bool is_space(const Character& c) {
  return c.type == UnicodeClass::space || (c.code_point >= 0x1c && c.code_point <= 0x1f);
}

std::string_view trimmed(std::string_view text, uint32_t flags) {
  size_t begin = text.size();
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text.data() + at, text.size() - at);
    const size_t start = at;
    at += c.bytes;
    if (is_space(c)) continue;
    if (begin > start) begin = start;
    end = at;
  }
  if ((flags & kChatTrimLeft) == 0) begin = 0;
  if ((flags & kChatTrimRight) == 0) end = text.size();
  return begin < end ? std::string_view(text.data() + begin, end - begin) : std::string_view();
}

void write_text(Writer* writer, std::string_view text) {
  if (text.empty()) return;
  if (writer->in_text) writer->tables.add_space_prefix = false;
  writer->in_text = true;
  const size_t room = writer->out.size();
  size_t ids = 0;
  Error error;
  const Status status =
      encode(writer->tables, text, {}, writer->scratch,
             writer->out.subspan(writer->count < room ? writer->count : room), &ids, &error);
  // Only output_too_small is left to go wrong.
  writer->count += status.ok() ? ids : in_memory(error.value);
}

void write_turn(const Turn& turn, Writer* writer) {
  const bool space = writer->tables.add_space_prefix && writer->space_after_control;
  size_t plain = 0;
  size_t at = 0;
  while (at < turn.size) {
    if (at >= turn.text_begin && at < turn.text_end) at = turn.text_end;
    const size_t end = at < turn.text_begin ? turn.text_begin : turn.size;
    const std::string_view rest(turn.bytes + at, end - at);
    const uint32_t length = whole_prefix(writer->tables, rest, type_bit(kPieceControl));
    if (length == 0) {
      ++at;
      continue;
    }
    write_text(writer, {turn.bytes + plain, at - plain});
    if (writer->count < writer->out.size()) {
      writer->out[writer->count] =
          find_piece(writer->tables, {rest.data(), length}, type_bit(kPieceControl));
    }
    ++writer->count;
    writer->in_text = false;
    writer->tables.add_space_prefix = space;
    at += length;
    plain = at;
  }
  if (plain < turn.size) write_text(writer, {turn.bytes + plain, turn.size - plain});
}

void compose(const ChatState& state, uint32_t role, std::string_view text, uint32_t options,
             Turn* turn) {
  if (state.last == 0) turn->add(ChatText::start);
  if (state.last == 0 && role != kChatSystem) turn->add(ChatText::default_system);
  if (state.last == kChatIsOpen && (options & kChatCut) != 0) turn->add(ChatText::assistant_after);
  if (state.last > kChatAssistant) turn->add(ChatText::close);
  uint32_t before = static_cast<uint32_t>(ChatText::system_before) + 2 * role;
  const uint32_t after = before + 1;
  uint32_t flags = turn->table.flags >> 2 * role;
  if (role == kChatUser && state.last == kChatSystem + 1) {
    before = static_cast<uint32_t>(ChatText::user_before_after_system);
    if ((turn->table.flags & kChatKeepLeftAfterSystem) != 0) flags &= ~kChatTrimLeft;
  }
  turn->add(static_cast<ChatText>(before));
  turn->text_begin = turn->size;
  turn->add(trimmed(text, flags));
  turn->text_end = turn->size;
  turn->add(static_cast<ChatText>(after));
  if ((options & kChatOpen) != 0) turn->add(ChatText::open);
}

Status check(const ChatState& state, uint32_t role, Error* error) {
  if (role > kChatAssistant) {
    return fail(error, Code::bad_argument, 0, "role", role, kChatAssistant);
  }
  const char* wrong = nullptr;
  if (role == kChatSystem && state.last != 0) wrong = "a system turn, which must be the first";
  if (role == kChatAssistant && state.last == kChatIsOpen) {
    wrong = "the assistant's turn again: it is open";
  }
  return wrong == nullptr ? Status() : fail(error, Code::wrong_turn, 0, wrong);
}

}  // namespace

Status chat_turn(const TokenizerTables& tables, const ChatTable& table, ChatState* state,
                 uint32_t role, std::string_view text, uint32_t options,
                 std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                 Error* error) {
  NBL_TRY(check(*state, role, error));
  const char* small = "scratch";
  size_t needed = chat_scratch_bytes(table.bytes, text.size());
  size_t given = scratch.size();
  if (given >= needed) {
    // Encoding wants whole words.
    scratch = scratch.subspan(-reinterpret_cast<uintptr_t>(scratch.data()) % 4);
    Turn turn{table, reinterpret_cast<char*>(scratch.data()), 0, 0, 0};
    compose(*state, role, text, options, &turn);
    // An answer ends with a token, or in the middle of its text.
    const bool goes_on = state->last == kChatIsOpen ? (options & kChatCut) != 0 : state->in_text;
    Writer writer{.tables = tables,
                  .space_after_control = (table.flags & kChatSpaceAfterControl) != 0,
                  .in_text = goes_on,
                  .scratch = scratch.subspan((turn.size + 3) & ~size_t{3}),
                  .out = out,
                  .count = 0};
    if (state->last != 0 && !writer.space_after_control) writer.tables.add_space_prefix = false;
    write_turn(turn, &writer);
    small = "tokens";
    needed = writer.count;
    given = out.size();
    if (given >= needed) {
      const bool open = (options & kChatOpen) != 0;
      state->last = static_cast<uint8_t>(open ? uint32_t{kChatIsOpen} : role + 1);
      state->in_text = writer.in_text ? 1 : 0;
      *count = needed;
      return {};
    }
  }
  return fail(error, Code::output_too_small, 0, small, needed, given);
}

}  // namespace nbl
