// tokenizer.model: a SentencePiece vocabulary, a protocol buffer.
#pragma once

#include "compiler/import/checkpoint.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler::hf {

// True where the file begins as one.
bool is_sentencepiece(const MappedFile& file);

// Errors  ImportError: malformed, not of the kind BPE, or one that changes texts beyond writing
//         spaces as U+2581.
TokenizerData read_sentencepiece(const MappedFile& file);

}  // namespace nbl::compiler::hf
