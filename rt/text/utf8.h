// One step of UTF-8: how long a character is and which bytes may follow which.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nbl {

// Bytes of the character that `lead` begins: 1..4, or 0 where no character begins with it.
//
// Source   Unicode 15, table 3-7 (well-formed UTF-8): no overlong forms, none past U+10FFFF.
constexpr uint32_t utf8_length(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

// True where `byte` may stand at `index` (1..3) of a character that begins with `lead`.
constexpr bool utf8_continues(uint8_t lead, uint32_t index, uint8_t byte) {
  if (index == 1) {
    if (lead == 0xe0) return byte >= 0xa0 && byte <= 0xbf;  // overlong below
    if (lead == 0xed) return byte >= 0x80 && byte <= 0x9f;  // surrogates above
    if (lead == 0xf0) return byte >= 0x90 && byte <= 0xbf;  // overlong below
    if (lead == 0xf4) return byte >= 0x80 && byte <= 0x8f;  // past U+10FFFF above
  }
  return (byte & 0xc0) == 0x80;
}

// Bytes of the character at the front of text[0, size), size > 0. A byte that begins no whole
// character stands alone: 1.
constexpr uint32_t utf8_next(const char* text, size_t size) {
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  const uint32_t length = utf8_length(lead);
  if (length == 0 || length > size) return 1;
  for (uint32_t i = 1; i < length; ++i) {
    if (!utf8_continues(lead, i, static_cast<uint8_t>(text[i]))) return 1;
  }
  return length;
}

// U+2581, which stands for a space in the pieces of a vocabulary.
inline constexpr char kSpaceMark[3] = {'\xe2', '\x96', '\x81'};

}  // namespace nbl
