// A vocabulary that owns its tables, built from pieces by tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
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

  // Made by finish().
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> offsets;
  std::vector<uint32_t> sorted;

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

  void finish() {
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
    return {static_cast<uint32_t>(pieces.size()),
            bytes.data(),
            offsets.data(),
            scores.data(),
            types.data(),
            sorted.data(),
            byte_tokens.data(),
            bos,
            eos,
            unknown,
            add_bos,
            add_space_prefix};
  }

  TokenizerSizes sizes() const {
    return {bytes.size(), offsets.size(), scores.size(),
            types.size(), sorted.size(),  byte_tokens.size()};
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
