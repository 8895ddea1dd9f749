#include "rt/text/pieces.h"

#include <cstring>

namespace nbl {
namespace {

// Where in tables.sorted the first piece not less than `bytes` is.
uint32_t lower_bound(const TokenizerTables& tables, std::string_view bytes) {
  uint32_t begin = 0;
  uint32_t end = tables.count;
  while (begin < end) {
    const uint32_t middle = begin + (end - begin) / 2;
    if (tables.piece(tables.sorted[middle]) < bytes) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

bool is_of(const TokenizerTables& tables, uint32_t id, uint32_t types) {
  return (1u << tables.types[id] & types) != 0;
}

}  // namespace

uint32_t find_piece(const TokenizerTables& tables, std::string_view bytes, uint32_t types) {
  for (uint32_t i = lower_bound(tables, bytes); i < tables.count; ++i) {
    const uint32_t id = tables.sorted[i];
    if (tables.piece(id) != bytes) break;
    if (is_of(tables, id, types)) return id;
  }
  return kNoPiece;
}

bool has_piece_of(const TokenizerTables& tables, uint32_t types) {
  for (uint32_t id = 0; id < tables.count; ++id) {
    if (is_of(tables, id, types)) return true;
  }
  return false;
}

// Goes on while any piece begins with the bytes so far.
uint32_t whole_prefix(const TokenizerTables& tables, std::string_view text, uint32_t types) {
  uint32_t longest = 0;
  for (uint32_t length = 1; length <= text.size(); ++length) {
    const std::string_view prefix(text.data(), length);
    uint32_t i = lower_bound(tables, prefix);
    if (i == tables.count) break;
    const std::string_view piece = tables.piece(tables.sorted[i]);
    if (piece.size() < length || memcmp(piece.data(), prefix.data(), length) != 0) break;
    for (; i < tables.count && tables.piece(tables.sorted[i]) == prefix; ++i) {
      if (is_of(tables, tables.sorted[i], types)) longest = length;
    }
  }
  return longest;
}

}  // namespace nbl
