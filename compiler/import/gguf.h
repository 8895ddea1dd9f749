// GGUF checkpoints, in one file or several, of every architecture that nibble knows.
//
// Names of tensors are the canonical ones. The rows of attn_q and attn_k come permuted in files of
// the llama architecture, so that RoPE turns interleaved pairs, and as they were trained in others.
// Tied where output.weight is absent. RoPE's scaling ends up in Hyper::rope_inv_freq.
#pragma once

#include <memory>

#include "compiler/import/checkpoint.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler {

class GgufFile;

// A vocabulary that is neither SentencePiece's ("llama") nor byte-level BPE ("gpt2"), or whose
// splitting rule is not known, gives no tokenizer and a warning.
//
// Errors  ImportError.
Checkpoint import_gguf(std::shared_ptr<const MappedFile> file);

// Errors  ImportError, also where the vocabulary is of another kind.
TokenizerData import_gguf_tokenizer(const MappedFile& file);

// The parts that lie in gguf_tokenizer.cpp. `vocab` is the embedding's row count.
std::optional<TokenizerData> gguf_tokenizer(const GgufFile& file, uint32_t vocab,
                                            std::vector<std::string>* warnings);
std::vector<uint32_t> gguf_stop_tokens(const GgufFile& file, uint32_t vocab);

}  // namespace nbl::compiler
