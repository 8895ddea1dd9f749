// Text to token ids, by whatever kind of tokenizer a model has.
#pragma once

#include "rt/text/bpe.h"
#include "rt/text/spm.h"

namespace nbl {

// Working memory for either kind, 4-byte aligned: 47 * text_bytes + 67, SIZE_MAX past
// kMaxTextBytes.
constexpr size_t encode_scratch_bytes(size_t text_bytes) {
  static_assert(spm_scratch_bytes(0) >= bpe_scratch_bytes(0) &&
                spm_scratch_bytes(kMaxTextBytes) >= bpe_scratch_bytes(kMaxTextBytes));
  return spm_scratch_bytes(text_bytes);
}

// As spm_encode() or bpe_encode().
inline Status encode(const TokenizerTables& tables, std::string_view text, EncodeOptions options,
                     std::span<std::byte> scratch, std::span<uint32_t> out, size_t* count,
                     Error* error) {
  return tables.kind == TokenizerKind::bpe
             ? bpe_encode(tables, text, options, scratch, out, count, error)
             : spm_encode(tables, text, options, scratch, out, count, error);
}

}  // namespace nbl
