// Classes of Unicode characters, as far as the splitting of texts into words asks for them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nbl {

enum class UnicodeClass : uint8_t { other, letter, mark, number, punctuation, symbol, space };

// The general category's first letter, or `space` where the property White_Space holds.
//
// Source   Unicode Character Database 15.0.0: UnicodeData.txt and PropList.txt.
UnicodeClass unicode_class(uint32_t code_point);

// One character of a text.
struct Character {
  uint32_t code_point;  // U+FFFD for a byte that belongs to no well-formed character
  uint32_t bytes;       // 1..4
  UnicodeClass type;
};

// The character at the front of text[0, size), size > 0.
Character character_at(const char* text, size_t size);

}  // namespace nbl
