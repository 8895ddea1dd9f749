// Writes SentencePiece models: protobuf messages of pieces, the trainer's facts and the
// normalizer's.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace nbl::test::sentencepiece {

inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7)
    bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}
inline std::string number(uint32_t field, uint64_t value) {
  return varint(field << 3) + varint(value);
}
inline std::string message(uint32_t field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}
inline std::string piece(const std::string& text, float score, uint64_t type) {
  std::string real(4, '\0');
  std::memcpy(real.data(), &score, 4);
  return message(1, message(1, text) + varint(2 << 3 | 5) + real + number(3, type));
}

// Ten pieces, one of each type.
struct PieceModel {
  uint64_t type = 2;
  std::string normalizer = number(4, 0);

  std::string bytes() const {
    return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("<0x21>", 0, 6) +
           piece("\u2581", -3, 1) + piece("a", -4, 1) + piece("b", -5, 1) + piece("ab", -1, 1) +
           piece("\u2581a", -2, 1) + piece("<t>", 0, 4) +
           message(2, number(3, type) + number(40, 0) + number(41, 1) + number(42, 2)) +
           message(3, normalizer);
  }
};

}  // namespace nbl::test::sentencepiece
