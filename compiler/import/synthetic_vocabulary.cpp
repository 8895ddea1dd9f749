#include <fmt/format.h>

#include "compiler/import/gguf_writer.h"

namespace nbl::compiler {
namespace {

constexpr const char* kSpace = "\xe2\x96\x81";
// By how often they occur in English, so that a short vocabulary holds the useful pairs first.
constexpr std::string_view kLetters = "etaoinshrdlucmfwypvbgkjqxz";

struct Builder {
  TokenizerData data;
  uint32_t count;

  bool full() const { return data.pieces.size() == count; }
  void add(std::string piece, uint8_t type) {
    if (full()) return;
    // Earlier pieces merge first, as in a trained vocabulary.
    const float score = type == 0 ? -static_cast<float>(data.pieces.size()) : 0.0f;
    data.pieces.push_back(std::move(piece));
    data.scores.push_back(score);
    data.types.push_back(type);
  }
};

}  // namespace

TokenizerData synthetic_vocabulary(uint32_t count) {
  Builder builder{{}, count};
  TokenizerData& data = builder.data;
  builder.add("<unk>", 3);
  builder.add("<s>", 1);
  builder.add("</s>", 1);
  for (uint32_t byte = 0; byte < 256; ++byte)
    builder.add(fmt::format("<0x{:02X}>", byte), 2);
  size_t next = data.pieces.size();  // the piece that is made longer next
  builder.add(kSpace, 0);
  for (const char letter : kLetters)
    builder.add(std::string(1, letter), 0);
  const size_t seeds_end = data.pieces.size();
  for (char c = '!'; c <= '~'; ++c) {
    if (c < 'a' || c > 'z') builder.add(std::string(1, c), 0);
  }
  const size_t words_begin = data.pieces.size();
  while (!builder.full()) {
    if (next == seeds_end) next = words_begin;
    const std::string stem = data.pieces[next++];
    for (const char letter : kLetters)
      builder.add(stem + letter, 0);
  }
  data.unknown = count > 0 ? 0 : -1;
  data.bos = count > 1 ? 1 : -1;
  data.eos = count > 2 ? 2 : -1;
  return std::move(builder.data);
}

}  // namespace nbl::compiler
