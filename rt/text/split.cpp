#include "rt/text/split.h"

#include "rt/text/unicode.h"

namespace nbl {
namespace {

// What one stage looks for. Matches become pieces, and so does what lies between them.
enum class Rule : uint8_t {
  none,
  number,              // \p{N}
  numbers3,            // \p{N}{1,3}
  line_end,            // [\r\n]
  spaced_letters,      // \s?\p{L}+
  spaced_punctuation,  // \s?\p{P}+
  cjk_coder,           // [U+0800-U+9FA5 U+AC00-U+D7FF]+
  cjk_v3,              // [U+4E00-U+9FA5 U+3040-U+30FF]+
  words_gpt2,
  words_llama3,
  words_qwen2,
  words_v3,
};

struct Stages {
  Rule rules[5];
};
constexpr Stages kStages[kSplitterCount] = {
    {{Rule::words_gpt2}},
    {{Rule::words_llama3}},
    {{Rule::words_qwen2}},
    {{Rule::number, Rule::words_gpt2}},
    {{Rule::line_end, Rule::spaced_letters, Rule::spaced_punctuation, Rule::cjk_coder,
      Rule::number}},
    {{Rule::numbers3, Rule::cjk_v3, Rule::words_v3}},
};

using Type = UnicodeClass;

constexpr uint32_t bit(Type type) {
  return 1u << static_cast<uint32_t>(type);
}
constexpr uint32_t kLetter = bit(Type::letter);
constexpr uint32_t kNumber = bit(Type::number);
constexpr uint32_t kSpace = bit(Type::space);
constexpr uint32_t kPunctuation = bit(Type::punctuation);
constexpr uint32_t kSymbol = bit(Type::symbol);
constexpr uint32_t kMark = bit(Type::mark);
constexpr uint32_t kAll = 0x7f;

Character at(std::string_view text, size_t offset) {
  if (offset >= text.size()) return {0, 0, Type::other};  // the end: of no type, and 0 bytes
  return character_at(text.data() + offset, text.size() - offset);
}

bool is(const Character& c, uint32_t types) {
  return c.bytes > 0 && (bit(c.type) & types) != 0;
}

bool is_line_end(const Character& c) {
  return c.bytes > 0 && (c.code_point == '\r' || c.code_point == '\n');
}

// End of the run of characters of these types, at most `most` of them, that begins at `offset`.
size_t run(std::string_view text, size_t offset, uint32_t types, size_t most = SIZE_MAX) {
  for (size_t count = 0; count < most; ++count) {
    const Character c = at(text, offset);
    if (!is(c, types)) break;
    offset += c.bytes;
  }
  return offset;
}

size_t line_ends(std::string_view text, size_t offset) {
  while (offset < text.size() && (text[offset] == '\r' || text[offset] == '\n'))
    ++offset;
  return offset;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// 's 't 'm 'd 're 've 'll
size_t contraction(std::string_view text, bool any_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char first = any_case ? lower(text[1]) : text[1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (text.size() < 3) return 0;
  const char second = any_case ? lower(text[2]) : text[2];
  const bool pair = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                    (first == 'l' && second == 'l');
  return pair ? 3 : 0;
}

// ' ?[types]+'
size_t after_space(std::string_view text, uint32_t types) {
  const size_t begin = !text.empty() && text[0] == ' ' ? 1 : 0;
  const size_t end = run(text, begin, types);
  return end > begin ? end : 0;
}

// '\s?[types]+'
size_t after_any_space(std::string_view text, uint32_t types) {
  const Character first = at(text, 0);
  const size_t begin = is(first, kSpace) ? first.bytes : 0;
  const size_t end = run(text, begin, types);
  return end > begin ? end : 0;
}

// '\s+(?!\S)|\s+': a run of spaces gives its last one to the word that follows.
size_t spaces(std::string_view text) {
  size_t end = 0;
  size_t last = 0;
  for (Character c = at(text, 0); is(c, kSpace); c = at(text, end)) {
    last = end;
    end += c.bytes;
  }
  return end == text.size() || last == 0 ? end : last;
}

// '\s*[\r\n]+': spaces up to the last line end among them.
size_t spaces_to_line_end(std::string_view text) {
  size_t end = 0;
  size_t found = 0;
  for (Character c = at(text, 0); is(c, kSpace); c = at(text, end)) {
    end += c.bytes;
    if (is_line_end(c)) found = end;
  }
  return found;
}

// One character that is neither a line end nor of `not_before`, if there is one; then [types]+.
size_t word(std::string_view text, uint32_t not_before, uint32_t types) {
  const Character first = at(text, 0);
  if (first.bytes == 0) return 0;
  const bool lead = !is_line_end(first) && !is(first, not_before);
  if (lead) {
    const size_t end = run(text, first.bytes, types);
    if (end > first.bytes) return end;
  }
  return run(text, 0, types);
}

size_t words_gpt2(std::string_view text) {
  if (const size_t end = contraction(text, false)) return end;
  if (const size_t end = after_space(text, kLetter)) return end;
  if (const size_t end = after_space(text, kNumber)) return end;
  if (const size_t end = after_space(text, kAll & ~(kSpace | kLetter | kNumber))) return end;
  return spaces(text);
}

size_t words_llama3(std::string_view text, size_t most_digits) {
  if (const size_t end = contraction(text, true)) return end;
  if (const size_t end = word(text, kLetter | kNumber, kLetter)) return end;
  if (const size_t end = run(text, 0, kNumber, most_digits)) return end;
  if (const size_t end = after_space(text, kAll & ~(kSpace | kLetter | kNumber))) {
    return line_ends(text, end);
  }
  if (const size_t end = spaces_to_line_end(text)) return end;
  return spaces(text);
}

bool is_ascii_letter(char c) {
  return lower(c) >= 'a' && lower(c) <= 'z';
}

// '[ASCII punctuation][A-Za-z]+'
size_t tagged_word(std::string_view text) {
  if (text.empty() || text[0] <= ' ' || text[0] > '~') return 0;
  if (is_ascii_letter(text[0]) || (text[0] >= '0' && text[0] <= '9')) return 0;
  size_t end = 1;
  while (end < text.size() && is_ascii_letter(text[end]))
    ++end;
  return end > 1 ? end : 0;
}

size_t words_v3(std::string_view text) {
  if (const size_t end = tagged_word(text)) return end;
  if (const size_t end = word(text, kLetter | kPunctuation | kSymbol, kLetter | kMark)) return end;
  if (const size_t end = after_space(text, kPunctuation | kSymbol)) return line_ends(text, end);
  if (const size_t end = spaces_to_line_end(text)) return end;
  return spaces(text);
}

struct Range {
  uint32_t first, last;
};

size_t run_in(std::string_view text, Range a, Range b) {
  size_t end = 0;
  for (Character c = at(text, 0); c.bytes > 0; c = at(text, end)) {
    const bool inside = (c.code_point >= a.first && c.code_point <= a.last) ||
                        (c.code_point >= b.first && c.code_point <= b.last);
    if (!inside) break;
    end += c.bytes;
  }
  return end;
}

// Bytes that a rule matches at the front of `text`; 0 = it does not match there.
size_t match(Rule rule, std::string_view text) {
  switch (rule) {
    case Rule::none:
      break;
    case Rule::number:
      return run(text, 0, kNumber, 1);
    case Rule::numbers3:
      return run(text, 0, kNumber, 3);
    case Rule::line_end:
      return is_line_end(at(text, 0)) ? 1 : 0;
    case Rule::spaced_letters:
      return after_any_space(text, kLetter);
    case Rule::spaced_punctuation:
      return after_any_space(text, kPunctuation);
    case Rule::cjk_coder:
      return run_in(text, {0x0800, 0x9fa5}, {0xac00, 0xd7ff});
    case Rule::cjk_v3:
      return run_in(text, {0x4e00, 0x9fa5}, {0x3040, 0x30ff});
    case Rule::words_gpt2:
      return words_gpt2(text);
    case Rule::words_llama3:
      return words_llama3(text, 3);
    case Rule::words_qwen2:
      return words_llama3(text, 1);
    case Rule::words_v3:
      return words_v3(text);
  }
  return 0;
}

std::string_view part(std::string_view text, size_t begin, size_t end) {
  return {text.data() + begin, end - begin};
}

// Bytes of the first piece: a match, or what comes before the first one.
size_t first_piece(Rule rule, std::string_view text) {
  if (const size_t matched = match(rule, text)) return matched;
  size_t end = at(text, 0).bytes;
  while (end < text.size() && match(rule, part(text, end, text.size())) == 0)
    end += at(text, end).bytes;
  return end;
}

}  // namespace

bool Words::next(std::string_view* word) {
  if (at_ == text_.size()) return false;
  size_t end = text_.size();
  for (uint32_t stage = 0; stage < kMaxStages; ++stage) {
    const Rule rule = kStages[static_cast<uint32_t>(splitter_)].rules[stage];
    if (rule == Rule::none) break;
    if (ends_[stage] <= at_) ends_[stage] = at_ + first_piece(rule, part(text_, at_, end));
    end = ends_[stage];
  }
  *word = part(text_, at_, end);
  at_ = end;
  return true;
}

}  // namespace nbl
