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
  const uint64_t scores = tables.kind == TokenizerKind::spm ? count : 0;
  if (sizes.scores != scores) return bad(error, "score count", sizes.scores, scores);
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
    if (tables.kind == TokenizerKind::spm && tables.scores[id] != tables.scores[id]) {
      return bad(error, "NaN score of piece", id, tables.count);
    }
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

uint64_t piece_length(const TokenizerTables& tables, uint32_t id) {
  return uint64_t{tables.offsets[id + 1]} - tables.offsets[id];
}

Status check_merge(const TokenizerTables& tables, uint32_t left, uint32_t merge, Error* error) {
  const uint32_t right = tables.merge_right[merge];
  const uint32_t result = tables.merge_result[merge];
  if (right >= tables.count) return bad(error, "merge's right token", right, tables.count);
  if (result >= tables.count) return bad(error, "merge's result", result, tables.count);
  if (merge > tables.merge_first[left] && tables.merge_right[merge - 1] >= right) {
    return bad(error, "unsorted merge", merge, tables.merge_count);
  }
  const uint64_t parts = piece_length(tables, left) + piece_length(tables, right);
  if (piece_length(tables, result) != parts) {
    return bad(error, "length of a merge's result", piece_length(tables, result), parts);
  }
  return {};
}

Status check_merges(const TokenizerTables& tables, const TokenizerSizes& sizes, Error* error) {
  const uint64_t merges = sizes.merge_right;
  const uint64_t firsts = uint64_t{tables.count} + 1;
  if (sizes.merge_first != firsts) return bad(error, "merge_first", sizes.merge_first, firsts);
  if (sizes.merge_result != merges) return bad(error, "merge_result", sizes.merge_result, merges);
  if (sizes.merge_rank != merges) return bad(error, "merge_rank", sizes.merge_rank, merges);
  if (tables.merge_first[0] != 0 || tables.merge_first[tables.count] != merges) {
    return bad(error, "merge_first's ends", tables.merge_first[tables.count], merges);
  }
  for (uint32_t left = 0; left < tables.count; ++left) {
    const uint32_t end = tables.merge_first[left + 1];
    if (end < tables.merge_first[left] || end > merges) {
      return bad(error, "merge_first", end, merges);
    }
    for (uint32_t merge = tables.merge_first[left]; merge < end; ++merge)
      NBL_TRY(check_merge(tables, left, merge, error));
  }
  return {};
}

}  // namespace

Status check_tokenizer(const TokenizerTables& tables, const TokenizerSizes& sizes, Error* error) {
  NBL_TRY(check_sizes(tables, sizes, error));
  NBL_TRY(check_pieces(tables, sizes.pieces, error));
  NBL_TRY(check_order(tables, error));
  if (tables.kind == TokenizerKind::bpe) NBL_TRY(check_merges(tables, sizes, error));
  NBL_TRY(check_id(tables, "bos", tables.bos, error));
  NBL_TRY(check_id(tables, "eos", tables.eos, error));
  NBL_TRY(check_id(tables, "unknown", tables.unknown, error));
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const int32_t id = tables.byte_tokens[byte];
    NBL_TRY(check_id(tables, "byte token", id, error));
    if (id < 0 && tables.unknown < 0 && tables.kind == TokenizerKind::spm) {
      return bad(error, "byte without a token, nor an unknown token,", byte, 256);
    }
  }
  return {};
}

}  // namespace nbl
