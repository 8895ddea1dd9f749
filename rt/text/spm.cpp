#include "rt/text/spm.h"

#include <cstring>

#include "rt/text/check.h"
#include "rt/text/utf8.h"

namespace nbl {
namespace {

constexpr uint32_t kNone = 0xffffffffu;
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

// Two neighbours whose concatenation, `length` bytes, is a piece.
struct Candidate {
  float score;
  uint32_t left;
  uint32_t length;
};

struct Work {
  const TokenizerTables& tables;
  Symbol* symbols;  // `count` of them and one that marks the end of the text
  uint32_t count;
  Candidate* heap;  // at most 2 * count: each merge takes one and adds at most two
  uint32_t heap_count;
  char* text;
  uint32_t text_bytes;

  std::string_view run(uint32_t left, uint32_t end) const {
    const uint32_t start = symbols[left].start;
    return {text + start, symbols[end].start - start};
  }
};

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

bool can_be_in_text(uint8_t type) {
  return type == kPieceNormal || type == kPieceUser || type == kPieceUnused;
}

// The lowest id with these bytes that a text may hold, or kNone.
uint32_t find_piece(const TokenizerTables& tables, std::string_view bytes) {
  for (uint32_t i = lower_bound(tables, bytes); i < tables.count; ++i) {
    const uint32_t id = tables.sorted[i];
    if (tables.piece(id) != bytes) break;
    if (can_be_in_text(tables.types[id])) return id;
  }
  return kNone;
}

bool has_user_pieces(const TokenizerTables& tables) {
  for (uint32_t id = 0; id < tables.count; ++id) {
    if (tables.types[id] == kPieceUser) return true;
  }
  return false;
}

// Bytes of the longest user piece that `text` begins with; 0 = none. Goes on while any piece begins
// with the bytes so far.
uint32_t user_prefix(const TokenizerTables& tables, std::string_view text) {
  uint32_t longest = 0;
  for (uint32_t length = 1; length <= text.size(); ++length) {
    const std::string_view prefix(text.data(), length);
    uint32_t i = lower_bound(tables, prefix);
    if (i == tables.count) break;
    const std::string_view piece = tables.piece(tables.sorted[i]);
    if (piece.size() < length || memcmp(piece.data(), prefix.data(), length) != 0) break;
    for (; i < tables.count && tables.piece(tables.sorted[i]) == prefix; ++i) {
      if (tables.types[tables.sorted[i]] == kPieceUser) longest = length;
    }
  }
  return longest;
}

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

void split(Work* work) {
  const bool user_pieces = has_user_pieces(work->tables);
  uint32_t at = 0;
  uint32_t count = 0;
  while (at < work->text_bytes) {
    const std::string_view rest(work->text + at, work->text_bytes - at);
    const uint32_t user = user_pieces ? user_prefix(work->tables, rest) : 0;
    work->symbols[count] = {at, count == 0 ? kNone : count - 1, count + 1, kNone,
                            user > 0 ? kFrozen : kNone};
    at += user > 0 ? user : utf8_next(rest.data(), rest.size());
    ++count;
  }
  work->symbols[count] = {at, count == 0 ? kNone : count - 1, kNone, kNone, kFrozen};
  work->count = count;
}

bool better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.left < b.left);
}

void push(Work* work, const Candidate& candidate) {
  uint32_t hole = work->heap_count++;
  while (hole > 0) {
    const uint32_t parent = (hole - 1) / 2;
    if (!better(candidate, work->heap[parent])) break;
    work->heap[hole] = work->heap[parent];
    hole = parent;
  }
  work->heap[hole] = candidate;
}

Candidate pop(Work* work) {
  const Candidate best = work->heap[0];
  const uint32_t size = --work->heap_count;
  const Candidate moved = work->heap[size];
  uint32_t hole = 0;
  for (;;) {
    uint32_t child = 2 * hole + 1;
    if (child >= size) break;
    if (child + 1 < size && better(work->heap[child + 1], work->heap[child])) ++child;
    if (!better(work->heap[child], moved)) break;
    work->heap[hole] = work->heap[child];
    hole = child;
  }
  work->heap[hole] = moved;
  return best;
}

// Makes a candidate of `left` and its right neighbour where together they are a piece.
void consider(Work* work, uint32_t left) {
  const uint32_t right = work->symbols[left].next;
  if (work->symbols[left].older == kFrozen || work->symbols[right].older == kFrozen) return;
  const std::string_view bytes = work->run(left, work->symbols[right].next);
  const uint32_t id = find_piece(work->tables, bytes);
  if (id == kNone) return;
  push(work, {work->tables.scores[id], left, static_cast<uint32_t>(bytes.size())});
}

void merge(Work* work) {
  for (uint32_t i = 0; i < work->count; ++i)
    consider(work, i);
  while (work->heap_count > 0) {
    const Candidate best = pop(work);
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
size_t finish(Work* work) {
  const TokenizerTables& tables = work->tables;
  size_t ids = 0;
  uint32_t i = 0;
  while (i < work->count) {
    Symbol& symbol = work->symbols[i];
    const std::string_view run = work->run(i, symbol.next);
    uint32_t id = find_piece(tables, run);
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

Status spm_encode(const TokenizerTables& tables, std::string_view text, bool add_bos,
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
  Work work{
      tables, reinterpret_cast<Symbol*>(scratch.data()), 0, reinterpret_cast<Candidate*>(heap_at),
      0,      reinterpret_cast<char*>(text_at),          0};
  copy_with_marks(text, &work);
  split(&work);
  merge(&work);
  const size_t bos = add_bos && tables.add_bos && tables.bos >= 0 ? 1 : 0;
  const size_t needed = finish(&work) + bos;
  if (needed > out.size()) {
    return fail(error, Code::output_too_small, 0, "tokens", needed, out.size());
  }
  if (bos != 0) out[0] = static_cast<uint32_t>(tables.bos);
  write(work, out.data() + bos);
  *count = needed;
  return {};
}

}  // namespace nbl
