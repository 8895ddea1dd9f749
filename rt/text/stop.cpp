#include "rt/text/stop.h"

#include <cstring>

#include "rt/base/checked.h"

namespace nbl {
namespace {

// Bytes of `text` that what ends in its first `matched` bytes, followed by `byte`, ends in: the
// step of Knuth, Morris and Pratt. Texts are short, so that their borders are looked for when
// needed.
uint32_t advance(const char* text, uint32_t matched, char byte) {
  uint32_t length = matched;
  while (true) {
    if (text[length] == byte) return length + 1;
    if (length == 0) return 0;
    do {
      --length;
    } while (memcmp(text, text + matched - length, length) != 0);
  }
}

// The stop text that most of has come.
uint32_t longest(const StopState& s) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < s.count; ++i) {
    if (s.matched[i] > s.matched[best]) best = i;
  }
  return best;
}

void mark_up_to(StopState* s, uint32_t place) {
  while (s->marked < place) {
    uint32_t* const mark = s->marks[++s->marked % kStopMarks];
    mark[0] = s->fed_tokens;
    mark[1] = s->token_end;
  }
}

void end_token(StopState* s, uint32_t place) {
  mark_up_to(s, place);
  ++s->fed_tokens;
  s->token_end = place;
  uint32_t* const mark = s->marks[place % kStopMarks];
  mark[0] = s->fed_tokens;
  mark[1] = place;
}

// The text is shown up to `place`.
void show(StopState* s, uint32_t place) {
  const uint32_t* const mark = s->marks[place % kStopMarks];
  s->keep_tokens = mark[0];
  s->shown_bytes = place;
  s->spare_bytes = place - mark[1];
}

// Takes one byte. Returns the bytes written.
size_t put_byte(StopState* s, char byte, char* out) {
  const uint32_t held_by = longest(*s);
  const uint32_t held = s->matched[held_by];
  mark_up_to(s, ++s->fed_bytes);
  uint32_t complete = 0;  // bytes of the longest stop text that is
  for (uint32_t i = 0; i < s->count; ++i) {
    const uint32_t matched = advance(s->texts[i], s->matched[i], byte);
    s->matched[i] = static_cast<uint8_t>(matched);
    if (matched != s->lengths[i] || matched <= complete) continue;
    complete = matched;
    s->found = i + 1;
  }
  if (complete > 0) show(s, s->fed_bytes - complete);
  // What was held is the beginning of a stop text.
  const uint32_t written = held + 1 - (complete > 0 ? complete : s->matched[longest(*s)]);
  if (held > 0) memcpy(out, s->texts[held_by], min_of(written, held));
  if (written > held) out[held] = byte;
  return written;
}

}  // namespace

Status begin_stops(std::span<const char* const> texts, StopState* state, Error* error) {
  if (texts.size() > kMaxStopTexts) {
    return fail(error, Code::bad_argument, 0, "count (of stop texts)", texts.size(), kMaxStopTexts);
  }
  for (uint32_t i = 0; i < texts.size(); ++i) {
    if (texts[i] == nullptr) return fail(error, Code::missing_argument, 0, "a stop text");
    const size_t length = strlen(texts[i]);
    if (length == 0 || length > kMaxStopBytes) {
      return fail(error, Code::bad_stop_text, 0, {}, length, kMaxStopBytes);
    }
  }
  *state = {};
  state->count = static_cast<uint32_t>(texts.size());
  for (uint32_t i = 0; i < texts.size(); ++i) {
    state->texts[i] = texts[i];
    state->lengths[i] = static_cast<uint8_t>(strlen(texts[i]));
  }
  return {};
}

Status put_text(StopState* s, std::span<const char> text, uint32_t pending_bytes,
                std::span<char> out, size_t* length, Error* error) {
  const size_t needed = s->matched[longest(*s)] + text.size();
  if (s->found == 0 && needed > out.size()) {
    return fail(error, Code::output_too_small, 0, "out", needed, out.size());
  }
  size_t used = 0;
  for (size_t i = 0; i < text.size() && s->found == 0; ++i)
    used += put_byte(s, text[i], out.data() + used);
  *length = used;
  if (s->found != 0) return {};
  end_token(s, s->fed_bytes + min_of(pending_bytes, 3u));
  show(s, s->fed_bytes - s->matched[longest(*s)]);
  return {};
}

Status flush_text(StopState* s, std::span<char> out, size_t* length, Error* error) {
  const uint32_t held_by = longest(*s);
  const uint32_t held = s->found != 0 ? 0 : s->matched[held_by];
  if (held > out.size()) return fail(error, Code::output_too_small, 0, "out", held, out.size());
  if (held > 0) memcpy(out.data(), s->texts[held_by], held);
  memset(s->matched, 0, sizeof s->matched);
  *length = held;
  if (s->found != 0) return {};
  show(s, s->fed_bytes);
  s->keep_tokens = s->fed_tokens;
  return {};
}

}  // namespace nbl
