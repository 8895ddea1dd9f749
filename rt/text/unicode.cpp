#include "rt/text/unicode.h"

#include "rt/text/utf8.h"

namespace nbl {
namespace {

constexpr uint32_t kRuns[] = {
#include "rt/text/unicode_classes.inc"
};
constexpr uint32_t kRunCount = sizeof kRuns / sizeof kRuns[0];
static_assert(kRuns[0] < 8, "the first run begins at U+0000");

constexpr uint32_t kReplacement = 0xfffd;

uint32_t decode(const char* text, uint32_t bytes) {
  const auto byte = [&](uint32_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(text[i]));
  };
  if (bytes == 1) return byte(0) < 0x80 ? byte(0) : kReplacement;
  uint32_t code_point = byte(0) & (0x7fu >> bytes);
  for (uint32_t i = 1; i < bytes; ++i)
    code_point = code_point << 6 | (byte(i) & 0x3f);
  return code_point;
}

}  // namespace

UnicodeClass unicode_class(uint32_t code_point) {
  uint32_t begin = 0;
  uint32_t end = kRunCount;
  while (end - begin > 1) {
    const uint32_t middle = begin + (end - begin) / 2;
    if (kRuns[middle] >> 3 <= code_point) {
      begin = middle;
    } else {
      end = middle;
    }
  }
  return static_cast<UnicodeClass>(kRuns[begin] & 7);
}

Character character_at(const char* text, size_t size) {
  const uint32_t bytes = utf8_next(text, size);
  const uint32_t code_point = decode(text, bytes);
  return {code_point, bytes, unicode_class(code_point)};
}

}  // namespace nbl
