#include "rt/text/spm.h"

#include <cstring>

#include "rt/text/candidates.h"
#include "rt/text/utf8.h"

namespace nbl {
namespace {

constexpr uint32_t kNone = kNoPiece;
constexpr uint32_t kDead = 0xfffffffeu;    // Symbol::next: merged into its left neighbour
constexpr uint32_t kFrozen = 0xfffffffdu;  // Symbol::older: a user piece, never merged
constexpr uint32_t kBytes = 0xfffffffcu;   // Symbol::id: no piece, written as byte tokens

// A run of the text from `start` to the start of the symbol `next`. The merges that made it are a
// stack: the last one took the symbol `last_right` in, the one before it that symbol's `older`.
struct Symbol {
  uint32_t start;
  uint32_t prev;
  uint32_t next;
  uint32_t last_right;  // after finish(): the id to write
  uint32_t older;
};

// Two neighbours whose concatenation, `length` bytes, is a piece: the best score first, the
// leftmost of equals.
struct Candidate {
  float score;
  uint32_t left;
  uint32_t length;

  bool before(const Candidate& other) const {
    return score > other.score || (score == other.score && left < other.left);
  }
};

struct Work {
  const TokenizerTables& tables;
  Symbol* symbols;  // `count` of them and one that marks the end of the text
  uint32_t count;
  Candidates<Candidate> candidates;  // at most 2 * count: each merge takes one and adds two
  char* text;
  uint32_t text_bytes;

  std::string_view run(uint32_t left, uint32_t end) const {
    const uint32_t start = symbols[left].start;
    return {text + start, symbols[end].start - start};
  }
};

// Types of pieces that merging may make.
constexpr uint32_t kInText = type_bit(kPieceNormal) | type_bit(kPieceUser) | type_bit(kPieceUnused);

void copy_with_marks(std::string_view text, Work* work) {
  char* to = work->text;
  if (work->tables.add_space_prefix && !text.empty()) {
    memcpy(to, kSpaceMark, 3);
    to += 3;
  }
  for (const char c : text) {
    if (c == ' ') {
      memcpy(to, kSpaceMark, 3);
      to += 3;
    } else {
      *to++ = c;
    }
  }
  work->text_bytes = static_cast<uint32_t>(to - work->text);
}

void split(Work* work, uint32_t whole_types) {
  const bool has_whole = has_piece_of(work->tables, whole_types);
  uint32_t at = 0;
  uint32_t count = 0;
  while (at < work->text_bytes) {
    const std::string_view rest(work->text + at, work->text_bytes - at);
    const uint32_t whole = has_whole ? whole_prefix(work->tables, rest, whole_types) : 0;
    work->symbols[count] = {at, count == 0 ? kNone : count - 1, count + 1, kNone,
                            whole > 0 ? kFrozen : kNone};
    at += whole > 0 ? whole : utf8_next(rest.data(), rest.size());
    ++count;
  }
  work->symbols[count] = {at, count == 0 ? kNone : count - 1, kNone, kNone, kFrozen};
  work->count = count;
}

// Makes a candidate of `left` and its right neighbour where together they are a piece.
void consider(Work* work, uint32_t left) {
  const uint32_t right = work->symbols[left].next;
  if (work->symbols[left].older == kFrozen || work->symbols[right].older == kFrozen) return;
  const std::string_view bytes = work->run(left, work->symbols[right].next);
  const uint32_t id = find_piece(work->tables, bytes, kInText);
  if (id == kNone) return;
  work->candidates.push({work->tables.scores[id], left, static_cast<uint32_t>(bytes.size())});
}

void merge(Work* work) {
  for (uint32_t i = 0; i < work->count; ++i)
    consider(work, i);
  while (!work->candidates.empty()) {
    const Candidate best = work->candidates.pop();
    Symbol& left = work->symbols[best.left];
    if (left.next == kDead || left.next == work->count) continue;
    Symbol& right = work->symbols[left.next];
    // Either of the two has grown since.
    if (work->symbols[right.next].start - left.start != best.length) continue;
    right.older = left.last_right;
    left.last_right = left.next;
    left.next = right.next;
    work->symbols[right.next].prev = best.left;
    right.next = kDead;
    if (left.prev != kNone) consider(work, left.prev);
    consider(work, best.left);
  }
}

// Ids that the bytes of a run give, when it is no piece: one a byte, or a single unknown.
bool has_byte_tokens(const TokenizerTables& tables, std::string_view run) {
  for (const char c : run) {
    if (tables.byte_tokens[static_cast<uint8_t>(c)] < 0) return false;
  }
  return true;
}

// Settles each symbol's id, taking unused pieces apart by undoing their last merge. Returns the
// number of ids.
size_t finish(Work* work, uint32_t whole_types) {
  const TokenizerTables& tables = work->tables;
  size_t ids = 0;
  uint32_t i = 0;
  while (i < work->count) {
    Symbol& symbol = work->symbols[i];
    const std::string_view run = work->run(i, symbol.next);
    const bool whole = symbol.older == kFrozen;
    uint32_t id = find_piece(tables, run, whole ? whole_types : kInText);
    if (id != kNone && tables.types[id] == kPieceUnused && symbol.last_right != kNone) {
      Symbol& right = work->symbols[symbol.last_right];
      right.next = symbol.next;
      symbol.next = symbol.last_right;
      symbol.last_right = right.older;
      continue;
    }
    ids += 1;
    if (id == kNone && has_byte_tokens(tables, run)) {
      id = kBytes;
      ids += run.size() - 1;
    }
    symbol.last_right = id == kNone ? static_cast<uint32_t>(tables.unknown) : id;
    i = symbol.next;
  }
  return ids;
}

void write(const Work& work, uint32_t* out) {
  for (uint32_t i = 0; i < work.count; i = work.symbols[i].next) {
    const Symbol& symbol = work.symbols[i];
    if (symbol.last_right != kBytes) {
      *out++ = symbol.last_right;
      continue;
    }
    for (const char c : work.run(i, symbol.next)) {
      *out++ = static_cast<uint32_t>(work.tables.byte_tokens[static_cast<uint8_t>(c)]);
    }
  }
}

}  // namespace

Status spm_encode(const TokenizerTables& tables, std::string_view text, EncodeOptions options,
                  std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                  Error* error) {
  if (text.size() > kMaxTextBytes) {
    return fail(error, Code::bad_argument, 0, "text bytes", text.size(), kMaxTextBytes);
  }
  const size_t scratch_bytes = spm_scratch_bytes(text.size());
  if (scratch.size() < scratch_bytes) {
    return fail(error, Code::output_too_small, 0, "scratch", scratch_bytes, scratch.size());
  }
  const uintptr_t misaligned = reinterpret_cast<uintptr_t>(scratch.data()) % alignof(Symbol);
  if (misaligned != 0) {
    return fail(error, Code::bad_argument, 0, "scratch misalignment", misaligned, 0);
  }
  static_assert(sizeof(Symbol) == 20 && sizeof(Candidate) == 12);
  const size_t characters = text.size() + 1;
  std::byte* heap_at = scratch.data() + sizeof(Symbol) * (characters + 1);
  std::byte* text_at = heap_at + 2 * sizeof(Candidate) * characters;
  Work work{tables,
            reinterpret_cast<Symbol*>(scratch.data()),
            0,
            Candidates(reinterpret_cast<Candidate*>(heap_at)),
            reinterpret_cast<char*>(text_at),
            0};
  copy_with_marks(text, &work);
  const uint32_t whole_types = whole_types_of(options);
  split(&work, whole_types);
  merge(&work);
  const size_t bos = wants_bos(tables, options) ? 1 : 0;
  const size_t needed = finish(&work, whole_types) + bos;
  if (needed > out.size()) {
    return fail(error, Code::output_too_small, 0, "tokens", needed, out.size());
  }
  if (bos != 0) out[0] = static_cast<uint32_t>(tables.bos);
  write(work, out.data() + bos);
  *count = needed;
  return {};
}

}  // namespace nbl
