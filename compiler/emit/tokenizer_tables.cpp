#include "compiler/emit/tokenizer_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <tuple>

#include "compiler/error.h"
#include "rt/text/check.h"

namespace nbl::compiler {
namespace {

// "<0x0A>" -> 10.
uint8_t byte_of(const std::string& piece) {
  uint8_t byte = 0;
  const bool framed = piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
  const char* begin = piece.data() + 3;
  if (!framed || std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) {
    throw CompileError(
        fmt::format("the tokenizer's piece {} is marked as a byte but not written <0xNN>", piece));
  }
  return byte;
}

}  // namespace

TokenizerVectors tokenizer_vectors(const TokenizerData& tokenizer) {
  const size_t count = tokenizer.pieces.size();
  TokenizerVectors tables{.pieces = {},
                          .offsets = {0},
                          .scores = tokenizer.scores,
                          .types = tokenizer.types,
                          .sorted = std::vector<uint32_t>(count),
                          .byte_tokens = {}};
  tables.byte_tokens.fill(-1);
  for (size_t id = 0; id < count; ++id) {
    const std::string& piece = tokenizer.pieces[id];
    tables.pieces.insert(tables.pieces.end(), piece.begin(), piece.end());
    tables.offsets.push_back(static_cast<uint32_t>(tables.pieces.size()));
    if (tokenizer.types[id] != kPieceByte) continue;
    int32_t& token = tables.byte_tokens[byte_of(piece)];
    if (token < 0) token = static_cast<int32_t>(id);
  }
  std::iota(tables.sorted.begin(), tables.sorted.end(), 0u);
  std::ranges::sort(tables.sorted, [&](uint32_t a, uint32_t b) {
    return std::tie(tokenizer.pieces[a], a) < std::tie(tokenizer.pieces[b], b);
  });
  return tables;
}

}  // namespace nbl::compiler
