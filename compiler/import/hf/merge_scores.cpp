// SentencePiece makes any two neighbours one whose concatenation is a piece, the piece of the best
// score first. A list of merges says the same where it has every pair that makes a piece, one piece
// after the other.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "compiler/import/hf/tokenizer_json.h"
#include "rt/text/check.h"
#include "rt/text/utf8.h"

namespace nbl::compiler::hf {
namespace {

constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();

// When the merges of each piece come.
struct Span {
  uint32_t first = kNever;
  uint32_t last = 0;
  uint32_t count = 0;
};

bool is_in_text(uint8_t type) {
  return type == kPieceNormal || type == kPieceUser || type == kPieceUnused;
}

// One character over and over, such as spaces: whatever the order, such a run grows from its front.
bool is_run(std::string_view piece) {
  const uint32_t bytes = utf8_next(piece.data(), piece.size());
  for (size_t at = bytes; at < piece.size(); at += bytes) {
    if (piece.substr(at, bytes) != piece.substr(0, bytes)) return false;
  }
  return true;
}

// Ways to cut a piece into two others.
uint32_t cuts_of(std::string_view piece,
                 const std::unordered_map<std::string_view, uint32_t>& ids) {
  uint32_t cuts = 0;
  for (size_t at = utf8_next(piece.data(), piece.size()); at < piece.size();
       at += utf8_next(piece.data() + at, piece.size() - at)) {
    cuts += ids.contains(piece.substr(0, at)) && ids.contains(piece.substr(at)) ? 1 : 0;
  }
  return cuts;
}

}  // namespace

std::vector<float> scores_of_merges(const std::string& file, const TokenizerData& data,
                                    const std::vector<Merge>& merges,
                                    std::vector<std::string>* warnings) {
  const size_t count = data.pieces.size();
  std::vector<Span> spans(count);
  for (const Merge& merge : merges) {
    Span& span = spans[merge.result];
    span = {std::min(span.first, merge.rank), std::max(span.last, merge.rank), span.count + 1};
  }
  std::unordered_map<std::string_view, uint32_t> ids;
  for (size_t id = 0; id < count; ++id) {
    if (is_in_text(data.types[id])) ids.emplace(data.pieces[id], static_cast<uint32_t>(id));
  }
  // Ranks up to 2^24 are exact as floats, and there are fewer merges than that in 512 MiB.
  std::vector<float> scores(count, 0);
  size_t others = 0;
  std::string example;
  for (size_t id = 0; id < count; ++id) {
    if (!is_in_text(data.types[id]) || data.pieces[id].empty()) continue;
    const Span& span = spans[id];
    scores[id] =
        span.count > 0 ? -static_cast<float>(span.first) : -static_cast<float>(merges.size());
    if (data.types[id] != kPieceNormal) continue;
    const bool together =
        span.last - span.first + 1 == span.count || span.count == 0 || is_run(data.pieces[id]);
    if (together && span.count == cuts_of(data.pieces[id], ids)) continue;
    if (others++ == 0) example = data.pieces[id];
  }
  if (others > 0) {
    warnings->push_back(fmt::format(
        "{}: the merges of {} pieces, such as {}, are not those of a SentencePiece vocabulary, by "
        "whose rules the device merges: rare texts may get other tokens",
        file, others, example));
  }
  return scores;
}

}  // namespace nbl::compiler::hf
