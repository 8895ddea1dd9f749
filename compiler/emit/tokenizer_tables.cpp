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

// The byte tokens of byte-level BPE are the pieces of one byte.
void find_byte_pieces(const TokenizerData& tokenizer, TokenizerVectors* tables) {
  for (size_t id = 0; id < tokenizer.pieces.size(); ++id) {
    const std::string& piece = tokenizer.pieces[id];
    if (tokenizer.types[id] != kPieceNormal || piece.size() != 1) continue;
    int32_t& token = tables->byte_tokens[static_cast<uint8_t>(piece[0])];
    if (token < 0) token = static_cast<int32_t>(id);
  }
}

void sort_merges(const TokenizerData& tokenizer, TokenizerVectors* tables) {
  std::vector<Merge> merges = tokenizer.merges;
  std::ranges::sort(merges, [](const Merge& a, const Merge& b) {
    return std::tie(a.left, a.right, a.rank) < std::tie(b.left, b.right, b.rank);
  });
  tables->merge_first.assign(tokenizer.pieces.size() + 1, 0);
  for (const Merge& merge : merges) {
    ++tables->merge_first[merge.left + 1];
    tables->merge_right.push_back(merge.right);
    tables->merge_result.push_back(merge.result);
    tables->merge_rank.push_back(merge.rank);
  }
  std::partial_sum(tables->merge_first.begin(), tables->merge_first.end(),
                   tables->merge_first.begin());
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
  if (tokenizer.kind == TokenizerKind::bpe) {
    find_byte_pieces(tokenizer, &tables);
    sort_merges(tokenizer, &tables);
  }
  return tables;
}

TokenizerTables checked_tables(const TokenizerData& tokenizer, const TokenizerVectors& vectors) {
  const TokenizerTables tables{.count = static_cast<uint32_t>(tokenizer.pieces.size()),
                               .pieces = vectors.pieces.data(),
                               .offsets = vectors.offsets.data(),
                               .scores = vectors.scores.data(),
                               .types = vectors.types.data(),
                               .sorted = vectors.sorted.data(),
                               .byte_tokens = vectors.byte_tokens.data(),
                               .bos = tokenizer.bos,
                               .eos = tokenizer.eos,
                               .unknown = tokenizer.unknown,
                               .add_bos = tokenizer.add_bos,
                               .add_space_prefix = tokenizer.add_space_prefix,
                               .kind = tokenizer.kind,
                               .splitter = tokenizer.splitter,
                               .whole_words = tokenizer.whole_words,
                               .merge_count = static_cast<uint32_t>(vectors.merge_right.size()),
                               .merge_first = vectors.merge_first.data(),
                               .merge_right = vectors.merge_right.data(),
                               .merge_result = vectors.merge_result.data(),
                               .merge_rank = vectors.merge_rank.data()};
  const TokenizerSizes sizes{vectors.pieces.size(),       vectors.offsets.size(),
                             vectors.scores.size(),       vectors.types.size(),
                             vectors.sorted.size(),       vectors.byte_tokens.size(),
                             vectors.merge_first.size(),  vectors.merge_right.size(),
                             vectors.merge_result.size(), vectors.merge_rank.size()};
  Error error;
  if (!check_tokenizer(tables, sizes, &error).ok()) {
    char sentence[256];
    describe(error, sentence, sizeof sentence);
    throw CompileError(sentence);
  }
  return tables;
}

}  // namespace nbl::compiler
