#include "rt/text/detokenize.h"

#include <cstring>

#include "rt/text/check.h"
#include "rt/text/utf8.h"

namespace nbl {
namespace {

constexpr uint32_t kNoByte = 256;

// Characters in `text` so far, and those of `decoder` that wait.
struct Output {
  Decoder* decoder;
  char* text;
  size_t used;

  void release() {
    memcpy(text + used, decoder->held, decoder->held_count);
    used += decoder->held_count;
    decoder->held_count = 0;
  }

  void put(uint8_t byte) {
    uint8_t* held = decoder->held;
    if (decoder->held_count > 0 && !utf8_continues(held[0], decoder->held_count, byte)) release();
    const uint32_t length = utf8_length(decoder->held_count > 0 ? held[0] : byte);
    held[decoder->held_count++] = byte;
    if (decoder->held_count >= length) release();
  }
};

Status check_decoder(const Decoder& decoder, Error* error) {
  if (decoder.held_count <= 3) return {};
  return fail(error, Code::bad_argument, 0, "decoder.held_count", decoder.held_count, 3);
}

// The byte that `token` stands for, or kNoByte.
uint32_t byte_of(const TokenizerTables& tables, uint32_t token) {
  if (tables.types[token] != kPieceByte) return kNoByte;
  uint32_t byte = 0;
  while (byte < 256 && tables.byte_tokens[byte] != static_cast<int32_t>(token))
    ++byte;
  return byte;
}

// The bytes that a token's text is made from.
std::string_view source_of(const TokenizerTables& tables, uint32_t token, const char* byte) {
  switch (tables.types[token]) {
    case kPieceControl:
      return {};
    case kPieceUnknown:
      return "\xef\xbf\xbd";
    case kPieceByte:
      return byte != nullptr ? std::string_view(byte, 1) : tables.piece(token);
    default:
      return tables.piece(token);
  }
}

// Pieces of byte-level BPE are the bytes of the text; others write U+2581 for a space.
bool begins_with_mark(const TokenizerTables& tables, std::string_view text) {
  return tables.kind == TokenizerKind::spm && text.size() >= 3 &&
         memcmp(text.data(), kSpaceMark, 3) == 0;
}

}  // namespace

uint32_t max_piece_bytes(const TokenizerTables& tables) {
  uint32_t longest = 3;
  for (uint32_t id = 0; id < tables.count; ++id) {
    const uint32_t length = tables.offsets[id + 1] - tables.offsets[id];
    if (length > longest) longest = length;
  }
  return longest;
}

Status detokenize(const TokenizerTables& tables, Decoder* decoder, uint32_t token,
                  std::span<char> text, size_t* length, Error* error) {
  if (token >= tables.count) {
    return fail(error, Code::bad_token_text, 0, "token", token, tables.count);
  }
  NBL_TRY(check_decoder(*decoder, error));
  const uint32_t byte = byte_of(tables, token);
  const char byte_char = static_cast<char>(byte & 0xffu);
  std::string_view source = source_of(tables, token, byte < kNoByte ? &byte_char : nullptr);
  const size_t needed = source.size() + decoder->held_count;
  if (needed > text.size()) {
    return fail(error, Code::output_too_small, 0, "text", needed, text.size());
  }
  const bool first = decoder->begun == 0 && !source.empty();
  if (first) decoder->begun = 1;
  if (first && tables.add_space_prefix && begins_with_mark(tables, source)) source.remove_prefix(3);
  Output output{decoder, text.data(), 0};
  while (!source.empty()) {
    const bool mark = begins_with_mark(tables, source);
    output.put(mark ? uint8_t{' '} : static_cast<uint8_t>(source.front()));
    source.remove_prefix(mark ? 3 : 1);
  }
  *length = output.used;
  return {};
}

Status detokenize_flush(Decoder* decoder, std::span<char> text, size_t* length, Error* error) {
  NBL_TRY(check_decoder(*decoder, error));
  if (decoder->held_count > text.size()) {
    return fail(error, Code::output_too_small, 0, "text", decoder->held_count, text.size());
  }
  Output output{decoder, text.data(), 0};
  output.release();
  *length = output.used;
  return {};
}

}  // namespace nbl
