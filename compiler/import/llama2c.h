// The checkpoints and tokenizers of llama2.c, in its legacy format (no magic, version 0).
//
// Layout  seven int32: dim, ffn, layers, heads, key/value heads, vocabulary (negative where the
//         classifier is not tied), context. Then float32, each for all layers before the next:
//         token_embd, attn_norm, attn_q, attn_k, attn_v, attn_output, ffn_norm, ffn_gate, ffn_down,
//         ffn_up, output_norm, two tables [context, head_dim/2] that are skipped, [output].
//         RoPE turns interleaved pairs with theta 10000; norms use eps 1e-5.
// Source  https://github.com/karpathy/llama2.c, export.py (legacy_export) and run.c.
#pragma once

#include "compiler/import/checkpoint.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler {

// Borrows  `file`.
// Errors   ImportError.
Checkpoint import_llama2c(const MappedFile& file);

// Layout  int32 longest piece in bytes; for each token float32 score, int32 length, bytes. A file
//         says nothing about its kinds of token: 0 is unknown, 1 begins and 2 ends a text, 3..258
//         stand for single bytes.
// Shapes  vocab pieces, or as many as there are where vocab is 0.
// Errors  ImportError.
TokenizerData import_llama2c_tokenizer(const MappedFile& file, uint32_t vocab);

}  // namespace nbl::compiler
