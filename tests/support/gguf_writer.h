// Whole GGUF checkpoints in memory, with the exact values of every tensor.
#pragma once

#include <string>
#include <vector>

#include "tests/support/synthetic_llama.h"

namespace nbl::test {

// Shapes  values: rows of `columns`, a multiple of 32 for q8_0 and q4_0.
// Returns the bytes of the tensor; *values becomes what they stand for.
std::string encode_tensor(compiler::SourceType type, uint64_t columns, std::vector<float>* values);

LlamaFile write_gguf_llama(const LlamaSpec& spec);

}  // namespace nbl::test
