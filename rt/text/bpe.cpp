#include "rt/text/bpe.h"

#include <cstring>

#include "rt/text/candidates.h"
#include "rt/text/split.h"

namespace nbl {
namespace {

constexpr uint32_t kNone = 0xffffffffu;
constexpr uint32_t kDead = 0xfffffffeu;  // Symbol::next: merged into its left neighbour

// Bytes of the word from `start` to the start of the symbol `next`, as one token.
struct Symbol {
  uint32_t start;
  uint32_t prev;
  uint32_t next;
  uint32_t id;
};

// Lower ranks first, the leftmost of equals.
struct Candidate {
  uint32_t rank;
  uint32_t left;
  uint32_t length;

  bool before(const Candidate& other) const {
    return rank < other.rank || (rank == other.rank && left < other.left);
  }
};

struct Work {
  const TokenizerTables& tables;
  Symbol* symbols;  // of one word, `count` of them and one that marks its end
  uint32_t count;
  Candidates<Candidate> candidates;  // at most 2 * count: each merge takes one and adds two
  uint32_t* ids;
  size_t id_count;
};

// The index of the merge of two tokens, or kNone.
uint32_t find_merge(const TokenizerTables& tables, uint32_t left, uint32_t right) {
  uint32_t begin = tables.merge_first[left];
  uint32_t end = tables.merge_first[left + 1];
  while (begin < end) {
    const uint32_t middle = begin + (end - begin) / 2;
    if (tables.merge_right[middle] == right) return middle;
    if (tables.merge_right[middle] < right) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return kNone;
}

uint32_t merge_of(const Work& work, uint32_t left) {
  const Symbol& symbol = work.symbols[left];
  if (symbol.next == work.count) return kNone;
  return find_merge(work.tables, symbol.id, work.symbols[symbol.next].id);
}

// Makes a candidate of `left` and its right neighbour where they have a merge.
void consider(Work* work, uint32_t left) {
  const uint32_t merge = merge_of(*work, left);
  if (merge == kNone) return;
  const Symbol& symbol = work->symbols[left];
  const uint32_t end = work->symbols[work->symbols[symbol.next].next].start;
  work->candidates.push({work->tables.merge_rank[merge], left, end - symbol.start});
}

void merge_all(Work* work) {
  for (uint32_t i = 0; i < work->count; ++i)
    consider(work, i);
  while (!work->candidates.empty()) {
    const Candidate best = work->candidates.pop();
    Symbol& left = work->symbols[best.left];
    if (left.next == kDead || left.next == work->count) continue;
    Symbol& right = work->symbols[left.next];
    // Either of the two has grown since.
    if (work->symbols[right.next].start - left.start != best.length) continue;
    left.id = work->tables.merge_result[merge_of(*work, best.left)];
    left.next = right.next;
    work->symbols[right.next].prev = best.left;
    right.next = kDead;
    if (left.prev != kNone) consider(work, left.prev);
    consider(work, best.left);
  }
}

// The token of a byte, else the unknown one, else a negative number.
int32_t token_of_byte(const TokenizerTables& tables, char byte) {
  const int32_t id = tables.byte_tokens[static_cast<uint8_t>(byte)];
  return id >= 0 ? id : tables.unknown;
}

// Makes a symbol of every byte. Vocabularies may lack the bytes that UTF-8 never uses: they are
// dropped.
void start_word(std::string_view word, Work* work) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < word.size(); ++i) {
    const int32_t id = token_of_byte(work->tables, word[i]);
    if (id < 0) continue;
    work->symbols[count] = {i, count == 0 ? kNone : count - 1, count + 1,
                            static_cast<uint32_t>(id)};
    ++count;
  }
  work->symbols[count] = {static_cast<uint32_t>(word.size()), kNone, kNone, kNone};
  work->count = count;
}

void encode_word(std::string_view word, Work* work) {
  const TokenizerTables& tables = work->tables;
  if (tables.whole_words) {
    const uint32_t id = find_piece(tables, word, type_bit(kPieceNormal));
    if (id != kNoPiece) {
      work->ids[work->id_count++] = id;
      return;
    }
  }
  start_word(word, work);
  merge_all(work);
  for (uint32_t i = 0; i < work->count; i = work->symbols[i].next)
    work->ids[work->id_count++] = work->symbols[i].id;
}

// Text without whole pieces.
void encode_plain(std::string_view text, Work* work) {
  Words words(work->tables.splitter, text);
  std::string_view word;
  while (words.next(&word))
    encode_word(word, work);
}

void encode_all(std::string_view text, uint32_t whole_types, Work* work) {
  const bool has_whole = has_piece_of(work->tables, whole_types);
  size_t plain = 0;
  size_t at = 0;
  while (has_whole && at < text.size()) {
    const std::string_view rest(text.data() + at, text.size() - at);
    const uint32_t whole = whole_prefix(work->tables, rest, whole_types);
    if (whole == 0) {
      ++at;
      continue;
    }
    encode_plain({text.data() + plain, at - plain}, work);
    work->ids[work->id_count++] = find_piece(work->tables, {rest.data(), whole}, whole_types);
    at += whole;
    plain = at;
  }
  encode_plain({text.data() + plain, text.size() - plain}, work);
}

}  // namespace

Status bpe_encode(const TokenizerTables& tables, std::string_view text, EncodeOptions options,
                  std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                  Error* error) {
  if (text.size() > kMaxTextBytes) {
    return fail(error, Code::bad_argument, 0, "text bytes", text.size(), kMaxTextBytes);
  }
  const size_t scratch_bytes = bpe_scratch_bytes(text.size());
  if (scratch.size() < scratch_bytes) {
    return fail(error, Code::output_too_small, 0, "scratch", scratch_bytes, scratch.size());
  }
  const uintptr_t misaligned = reinterpret_cast<uintptr_t>(scratch.data()) % alignof(Symbol);
  if (misaligned != 0) {
    return fail(error, Code::bad_argument, 0, "scratch misalignment", misaligned, 0);
  }
  static_assert(sizeof(Symbol) == 16 && sizeof(Candidate) == 12);
  std::byte* heap_at = scratch.data() + sizeof(Symbol) * (text.size() + 1);
  std::byte* ids_at = heap_at + 2 * sizeof(Candidate) * text.size();
  Work work{tables,
            reinterpret_cast<Symbol*>(scratch.data()),
            0,
            Candidates(reinterpret_cast<Candidate*>(heap_at)),
            reinterpret_cast<uint32_t*>(ids_at),
            0};
  encode_all(text, whole_types_of(options), &work);
  const size_t bos = wants_bos(tables, options) ? 1 : 0;
  const size_t needed = work.id_count + bos;
  if (needed > out.size()) {
    return fail(error, Code::output_too_small, 0, "tokens", needed, out.size());
  }
  if (bos != 0) out[0] = static_cast<uint32_t>(tables.bos);
  if (work.id_count > 0) memcpy(out.data() + bos, work.ids, work.id_count * sizeof(uint32_t));
  *count = needed;
  return {};
}

}  // namespace nbl
