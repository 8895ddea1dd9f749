// Could break: some text or some ids lead a tokenizer or a chat table out of its scratch, to ids
// that are none, or to another text than the one that was encoded.
//
// Input  a vocabulary's number, options, then the text (fuzzer/FuzzedDataProvider.h).
#include <cstring>
#include <string>
#include <vector>

#include "rt/text/chat.h"
#include "rt/text/detokenize.h"
#include "rt/text/encode.h"
#include "rt/text/stop.h"
#include "rt/text/utf8.h"
#include "tests/fuzz/support/vocabularies.h"

namespace nbl::fuzz {
namespace {

using Ids = std::vector<uint32_t>;

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const uint32_t length = utf8_next(text.data() + at, text.size() - at);
    if (length == 1 && static_cast<uint8_t>(text[at]) >= 0x80) return false;
    at += length;
  }
  return true;
}

std::string with_spaces_for_marks(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const bool mark = text.substr(at).starts_with(std::string_view(kSpaceMark, 3));
    out += mark ? ' ' : text[at];
    at += mark ? 3 : 1;
  }
  return out;
}

// Ids into exactly as much room as they take, with exactly the scratch that is asked for.
Ids encoded(const TokenizerTables& tables, std::string_view text, EncodeOptions options) {
  std::vector<std::byte> scratch(tables.kind == TokenizerKind::bpe
                                     ? bpe_scratch_bytes(text.size())
                                     : spm_scratch_bytes(text.size()));
  require(scratch.size() <= encode_scratch_bytes(text.size()),
          "the scratch of either kind is enough");
  Error error;
  size_t count = 0;
  Status status = encode(tables, text, options, std::span(scratch).first(scratch.size() - 1), {},
                         &count, &error);
  require(status.code() == Code::output_too_small, "a byte less of scratch is too little");
  status = encode(tables, text, options, scratch, {}, &count, &error);
  if (status.ok()) return {};
  require(status.code() == Code::output_too_small, "no room for tokens is too little");
  Ids ids(error.value);
  status =
      encode(tables, text, options, scratch, std::span(ids).first(ids.size() - 1), &count, &error);
  require(status.code() == Code::output_too_small, "room for a token less is too little");
  status = encode(tables, text, options, scratch, ids, &count, &error);
  require(status.ok() && count == ids.size(), "as much room as asked for is enough");
  require(count <= 3 * text.size() + 4, "there are no more tokens than bytes, marks included");
  for (const uint32_t id : ids)
    require(id < tables.count, "ids are in the vocabulary");
  return ids;
}

// What the ids say, a whole text at once.
std::string decoded(const TokenizerTables& tables, const Ids& ids) {
  std::string out;
  bool first = true;
  for (const uint32_t id : ids) {
    std::string piece(tables.piece(id));
    const uint8_t type = tables.types[id];
    if (type == kPieceControl) continue;
    if (type == kPieceUnknown) piece = "\xef\xbf\xbd";
    for (uint32_t byte = 256; type == kPieceByte && byte-- > 0;) {
      if (tables.byte_tokens[byte] == static_cast<int32_t>(id))
        piece = std::string(1, static_cast<char>(byte));
    }
    if (piece.empty()) continue;
    const bool marked = piece.starts_with(std::string_view(kSpaceMark, 3));
    if (tables.kind == TokenizerKind::spm) {
      if (first && marked && tables.add_space_prefix) piece.erase(0, 3);
      piece = with_spaces_for_marks(piece);
    }
    first = false;
    out += piece;
  }
  return out;
}

// The same, token by token, in whole characters.
std::string streamed(const TokenizerTables& tables, const Ids& ids) {
  const uint32_t most = max_piece_bytes(tables) + 3;
  Decoder decoder{};
  Error error;
  std::string out;
  const std::string whole = decoded(tables, ids);
  const bool valid = is_utf8(whole);
  for (const uint32_t id : ids) {
    std::vector<char> text(most);
    size_t length = 0;
    require(detokenize(tables, &decoder, id, text, &length, &error).ok(), "every id has a text");
    require(length <= most, "a text has the room that is asked for");
    const std::string_view chunk(text.data(), length);
    require(!valid || is_utf8(chunk), "characters are not cut");
    out += chunk;
  }
  std::vector<char> rest(3);
  size_t length = 0;
  require(detokenize_flush(&decoder, rest, &length, &error).ok(), "three bytes are held at most");
  out.append(rest.data(), length);
  require(out == whole, "a text in pieces is the text");
  return out;
}

void check_round_trip(const Family& f, std::string_view text, EncodeOptions options) {
  const TokenizerTables tables = f.vocab.tables();
  const Ids ids = encoded(tables, text, options);
  const std::string back = streamed(tables, ids);
  if (!f.exact || options.special) return;
  const std::string wanted =
      tables.kind == TokenizerKind::spm ? with_spaces_for_marks(text) : std::string(text);
  require(back == wanted, "decoding undoes encoding");
}

size_t controls_in(const TokenizerTables& tables, const Ids& ids) {
  size_t count = 0;
  for (const uint32_t id : ids)
    count += tables.types[id] == kPieceControl ? 1 : 0;
  return count;
}

Ids turn(const TokenizerTables& tables, const ChatTable& table, ChatState* state, uint32_t role,
         std::string_view text, uint32_t options) {
  // One byte further on than vectors are, as the scratch of a turn may lie anywhere.
  const size_t bytes = chat_scratch_bytes(table.bytes, text.size());
  std::vector<std::byte> scratch(bytes + 1);
  const std::span<std::byte> room = std::span(scratch).subspan(1);
  const ChatState before = *state;
  Error error;
  size_t count = 0;
  Status status = chat_turn(tables, table, state, role, text, options, room, {}, &count, &error);
  if (status.ok() || status.code() != Code::output_too_small) return {};
  require(std::memcmp(state, &before, sizeof before) == 0, "a turn that fails changes nothing");
  Ids ids(error.value);
  status = chat_turn(tables, table, state, role, text, options, room, ids, &count, &error);
  require(status.ok() && count == ids.size(), "as much room as a turn asks for is enough");
  for (const uint32_t id : ids)
    require(id < tables.count, "ids of a turn are in the vocabulary");
  return ids;
}

void check_chat(const Family& f, FuzzedDataProvider* input, std::string_view text) {
  static constexpr std::string_view kParts[] = {"",        "<s>", "</s>", "[INST] ",
                                                " [INST]", "\n",  "user", "<s>system\nhi</s>"};
  const TokenizerTables tables = f.vocab.tables();
  ChatTable table{};
  for (std::string_view& part : table.texts) {
    part = kParts[input->ConsumeIntegralInRange<size_t>(0, std::size(kParts) - 1)];
    table.bytes += part.size();
  }
  table.flags = input->ConsumeIntegralInRange<uint32_t>(0, kChatFlagsEnd - 1);
  ChatState state{};
  for (int turns = 0; turns < 4; ++turns) {
    const uint32_t role = input->ConsumeIntegralInRange<uint32_t>(0, 3);
    const uint32_t options = input->ConsumeIntegralInRange<uint32_t>(0, 3);
    ChatState without = state;
    const size_t fixed = controls_in(tables, turn(tables, table, &without, role, "x", options));
    const size_t controls = controls_in(tables, turn(tables, table, &state, role, text, options));
    require(!f.exact || controls == fixed, "no text of a user is a control token");
  }
}

void check_stops(std::string_view text, FuzzedDataProvider* input) {
  std::vector<std::string> stops;
  for (uint32_t i = input->ConsumeIntegralInRange<uint32_t>(1, 3); i > 0; --i)
    stops.push_back(input->ConsumeRandomLengthString(6));
  std::vector<const char*> pointers;
  for (const std::string& stop : stops)
    pointers.push_back(stop.c_str());
  StopState state{};
  Error error;
  if (!begin_stops(pointers, &state, &error).ok()) return;
  size_t first = std::string_view::npos;  // where the first complete one ends, and begins
  size_t begin = text.size();
  for (const char* stop : pointers) {
    const size_t at = text.find(stop);
    if (at == std::string_view::npos) continue;
    const size_t end = at + std::strlen(stop);
    if (first == std::string_view::npos || end < first || (end == first && at < begin)) {
      first = end;
      begin = at;
    }
  }
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const size_t some = std::min(text.size() - at, input->ConsumeIntegralInRange<size_t>(1, 9));
    std::vector<char> out(some + kMaxStopBytes);
    size_t length = 0;
    require(put_text(&state, text.substr(at, some), 0, out, &length, &error).ok(),
            "a text is taken");
    shown.append(out.data(), length);
    at += some;
  }
  std::vector<char> out(kMaxStopBytes);
  size_t length = 0;
  require(flush_text(&state, out, &length, &error).ok(), "what is held is given");
  shown.append(out.data(), length);
  require(shown == text.substr(0, begin), "a text ends before its first stop text");
}

}  // namespace
}  // namespace nbl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl;
  using namespace nbl::fuzz;
  FuzzedDataProvider input(data, size);
  const uint32_t choice = input.ConsumeIntegralInRange<uint32_t>(0, kFamilies + 3);
  const Family made = choice < kFamilies ? Family{} : arbitrary_family(&input);
  const Family& f = choice < kFamilies ? family(choice) : made;
  const EncodeOptions options{.add_bos = input.ConsumeBool(), .special = input.ConsumeBool()};
  const uint32_t what = input.ConsumeIntegralInRange<uint32_t>(0, 7);
  if (what == 0) {
    const TokenizerTables tables = f.vocab.tables();
    Ids ids(input.ConsumeIntegralInRange<size_t>(0, 64));
    for (uint32_t& id : ids)
      id = input.ConsumeIntegralInRange<uint32_t>(0, tables.count - 1);
    streamed(tables, ids);
    return 0;
  }
  if (what == 1) {
    const std::string text = input.ConsumeRandomLengthString(256);
    check_stops(text, &input);
    return 0;
  }
  if (what <= 3) {
    const std::string text = input.ConsumeRandomLengthString(256);
    check_chat(f, &input, text);
    return 0;
  }
  const std::string text = input.ConsumeRemainingBytesAsString();
  check_round_trip(f, {text.data(), text.size()}, options);
  return 0;
}
