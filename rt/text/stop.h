// Stop texts: generated text passes through, what may be the beginning of one is held back, and
// where one is complete the text ends in front of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rt/base/status.h"

namespace nbl {

inline constexpr uint32_t kMaxStopTexts = 16;
inline constexpr uint32_t kMaxStopBytes = 128;
// Places in the text that a stop text can begin at or a token end at: those of the bytes that may
// be held, the end, and 3 bytes that a decoder may hold.
inline constexpr uint32_t kStopMarks = kMaxStopBytes + 4;

// A text being watched; zeroed, it watches for nothing. The same bytes as nbl_stop in rt/nibble.h.
//
// Borrows  the stop texts.
struct StopState {
  uint32_t found;
  uint32_t keep_tokens;
  uint32_t shown_bytes;
  uint32_t spare_bytes;

  const char* texts[kMaxStopTexts];
  uint8_t lengths[kMaxStopTexts];
  uint8_t matched[kMaxStopTexts];  // bytes of each that the text ends in, the longest such run
  uint32_t count;
  uint32_t fed_bytes;
  uint32_t fed_tokens;
  uint32_t token_end;  // of the last token, in bytes
  uint32_t marked;     // the last place that has a mark
  // Of place p, at p % kStopMarks: tokens that end there or before, and where the last of them
  // ends.
  uint32_t marks[kStopMarks][2];
};

// Errors  bad_argument (count), missing_argument (a text), bad_stop_text (an empty or too long
// one).
Status begin_stops(std::span<const char* const> texts, StopState* state, Error* error);

// Takes one token's text and writes what can be shown. Of several stop texts the one that is
// complete first counts, of those complete at the same byte the longest; after it nothing is shown.
// pending_bytes: of the token, and those before it, that a decoder holds.
//
// Errors  output_too_small where `out` has less room than the text and what is held back; nothing
// is
//         changed.
Status put_text(StopState* state, std::span<const char> text, uint32_t pending_bytes,
                std::span<char> out, size_t* length, Error* error);

// Writes what is held back: the text is at its end. Errors as above.
Status flush_text(StopState* state, std::span<char> out, size_t* length, Error* error);

}  // namespace nbl
