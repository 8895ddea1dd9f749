#include "rt/text/check.h"

#include <string_view>

namespace nbl {
namespace {

Status bad(Error* error, std::string_view name, uint64_t value, uint64_t limit) {
  return fail(error, Code::bad_tokenizer, 0, name, value, limit);
}

Status check_sizes(const TokenizerTables& tables, const TokenizerSizes& sizes, Error* error) {
  const uint64_t count = tables.count;
  if (count == 0 || count > kMaxDim) return bad(error, "piece count", count, kMaxDim);
  if (sizes.offsets != count + 1) return bad(error, "offset count", sizes.offsets, count + 1);
  if (sizes.scores != count) return bad(error, "score count", sizes.scores, count);
  if (sizes.types != count) return bad(error, "type count", sizes.types, count);
  if (sizes.sorted != count) return bad(error, "sorted count", sizes.sorted, count);
  if (sizes.byte_tokens != 256) return bad(error, "byte token count", sizes.byte_tokens, 256);
  return {};
}

Status check_pieces(const TokenizerTables& tables, uint64_t piece_bytes, Error* error) {
  uint32_t end = tables.offsets[0];
  for (uint32_t id = 0; id < tables.count; ++id) {
    const uint32_t begin = end;
    end = tables.offsets[id + 1];
    if (begin > end) return bad(error, "piece offset", begin, end);
    const float score = tables.scores[id];
    if (score != score) return bad(error, "NaN score of piece", id, tables.count);
    if (tables.types[id] >= kPieceTypeCount) {
      return bad(error, "piece type", tables.types[id], kPieceTypeCount);
    }
  }
  if (end > piece_bytes) return bad(error, "piece offset", end, piece_bytes);
  return {};
}

// `count` strictly ascending (bytes, id) pairs with ids in range are all different, so they are
// every id once.
Status check_order(const TokenizerTables& tables, Error* error) {
  for (uint32_t i = 0; i < tables.count; ++i) {
    const uint32_t id = tables.sorted[i];
    if (id >= tables.count) return bad(error, "sorted id", id, tables.count);
    if (i == 0) continue;
    const uint32_t before = tables.sorted[i - 1];
    const int order = tables.piece(before).compare(tables.piece(id));
    if (order > 0 || (order == 0 && before >= id)) {
      return bad(error, "unsorted index", i, tables.count);
    }
  }
  return {};
}

Status check_id(const TokenizerTables& tables, std::string_view name, int32_t id, Error* error) {
  if (id < -1 || (id >= 0 && static_cast<uint32_t>(id) >= tables.count)) {
    return bad(error, name, static_cast<uint32_t>(id), tables.count);
  }
  return {};
}

}  // namespace

Status check_tokenizer(const TokenizerTables& tables, const TokenizerSizes& sizes, Error* error) {
  NBL_TRY(check_sizes(tables, sizes, error));
  NBL_TRY(check_pieces(tables, sizes.pieces, error));
  NBL_TRY(check_order(tables, error));
  NBL_TRY(check_id(tables, "bos", tables.bos, error));
  NBL_TRY(check_id(tables, "eos", tables.eos, error));
  NBL_TRY(check_id(tables, "unknown", tables.unknown, error));
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const int32_t id = tables.byte_tokens[byte];
    NBL_TRY(check_id(tables, "byte token", id, error));
    if (id < 0 && tables.unknown < 0) {
      return bad(error, "byte without a token, nor an unknown token,", byte, 256);
    }
  }
  return {};
}

}  // namespace nbl
