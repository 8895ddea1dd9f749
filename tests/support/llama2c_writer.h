// Whole llama2.c checkpoints and tokenizers in memory.
#pragma once

#include <string>

#include "tests/support/synthetic_llama.h"

namespace nbl::test {

// Shapes  spec.dim is heads * head_dim; type, theta, eps and RoPE factors are the format's own.
LlamaFile write_llama2c(const LlamaSpec& spec);

// Spaces, U+2581 in the pieces, are written as ' '.
std::string write_llama2c_tokenizer(const compiler::TokenizerData& tokenizer);

}  // namespace nbl::test
