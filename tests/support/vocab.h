// A vocabulary that owns its tables, built from pieces by tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "rt/model/model.h"
#include "rt/text/check.h"

namespace nbl {

struct TestVocab {
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<uint8_t> types;
  std::vector<int32_t> byte_tokens = std::vector<int32_t>(256, -1);
  int32_t bos = -1;
  int32_t eos = -1;
  int32_t unknown = -1;
  bool add_bos = true;
  bool add_space_prefix = true;
  TokenizerKind kind = TokenizerKind::spm;
  Splitter splitter = Splitter::gpt2;
  bool whole_words = false;
  std::map<std::pair<uint32_t, uint32_t>, std::pair<uint32_t, uint32_t>> merges;  // result, rank

  // Made by finish().
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> offsets;
  std::vector<uint32_t> sorted;
  std::vector<uint32_t> merge_first;
  std::vector<uint32_t> merge_right;
  std::vector<uint32_t> merge_result;
  std::vector<uint32_t> merge_rank;

  uint32_t add(std::string piece, float score, uint8_t type = kPieceNormal) {
    pieces.push_back(std::move(piece));
    scores.push_back(score);
    types.push_back(type);
    return static_cast<uint32_t>(pieces.size() - 1);
  }

  // The 256 byte tokens <0x00> .. <0xFF>.
  void add_bytes() {
    for (int byte = 0; byte < 256; ++byte) {
      const char* digits = "0123456789ABCDEF";
      const std::string name = std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">";
      byte_tokens[static_cast<size_t>(byte)] = static_cast<int32_t>(add(name, 0, kPieceByte));
    }
  }

  // Byte-level BPE: the 256 single bytes.
  void add_byte_pieces() {
    kind = TokenizerKind::bpe;
    for (int byte = 0; byte < 256; ++byte) {
      byte_tokens[static_cast<size_t>(byte)] =
          static_cast<int32_t>(add(std::string(1, static_cast<char>(byte)), 0));
    }
  }

  // Byte-level BPE: the next merge of two pieces, whose result is added unless it is there.
  uint32_t merge(uint32_t left, uint32_t right) {
    const std::string piece = pieces[left] + pieces[right];
    const auto found = std::find(pieces.begin(), pieces.end(), piece);
    const auto id =
        found == pieces.end() ? add(piece, 0) : static_cast<uint32_t>(found - pieces.begin());
    merges.try_emplace({left, right}, id, static_cast<uint32_t>(merges.size()));
    return id;
  }

  void finish() {
    if (kind == TokenizerKind::bpe) finish_merges();
    bytes.clear();
    offsets.assign(1, 0);
    for (const std::string& piece : pieces) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      offsets.push_back(static_cast<uint32_t>(bytes.size()));
    }
    sorted.resize(pieces.size());
    std::iota(sorted.begin(), sorted.end(), 0u);
    std::sort(sorted.begin(), sorted.end(), [this](uint32_t a, uint32_t b) {
      return std::pair(std::string_view(pieces[a]), a) < std::pair(std::string_view(pieces[b]), b);
    });
  }

  TokenizerTables tables() const {
    return {.count = static_cast<uint32_t>(pieces.size()),
            .pieces = bytes.data(),
            .offsets = offsets.data(),
            .scores = scores.data(),
            .types = types.data(),
            .sorted = sorted.data(),
            .byte_tokens = byte_tokens.data(),
            .bos = bos,
            .eos = eos,
            .unknown = unknown,
            .add_bos = add_bos,
            .add_space_prefix = add_space_prefix,
            .kind = kind,
            .splitter = splitter,
            .whole_words = whole_words,
            .merge_count = static_cast<uint32_t>(merge_right.size()),
            .merge_first = merge_first.data(),
            .merge_right = merge_right.data(),
            .merge_result = merge_result.data(),
            .merge_rank = merge_rank.data()};
  }

  TokenizerSizes sizes() const {
    return {bytes.size(),       offsets.size(),     kind == TokenizerKind::spm ? scores.size() : 0,
            types.size(),       sorted.size(),      byte_tokens.size(),
            merge_first.size(), merge_right.size(), merge_result.size(),
            merge_rank.size()};
  }

 private:
  void finish_merges() {
    merge_first.assign(pieces.size() + 1, 0);
    for (const auto& [pair, made] : merges) {
      ++merge_first[pair.first + 1];
      merge_right.push_back(pair.second);
      merge_result.push_back(made.first);
      merge_rank.push_back(made.second);
    }
    std::partial_sum(merge_first.begin(), merge_first.end(), merge_first.begin());
  }
};

// Test material that is not part of the repository: $NIBBLE_SHARED, or ../shared beside it.
inline std::filesystem::path shared_path(const std::string& relative) {
  const char* set = std::getenv("NIBBLE_SHARED");
  const std::filesystem::path root =
      set != nullptr ? std::filesystem::path(set)
                     : std::filesystem::path(NIBBLE_SOURCE_DIR).parent_path() / "shared";
  return root / relative;
}

}  // namespace nbl
