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

// One layer of 32 columns.
LlamaSpec tiny_gguf_llama(compiler::SourceType type);

// What a file of several says of itself.
struct GgufSplit {
  uint32_t part;
  uint32_t parts;
  uint64_t tensors;  // of all parts
};
// A file with tensors part, part + parts, ... of the source in float32; the first has the
// architecture's keys, too.
std::string write_gguf_part(const LlamaFile& source, const LlamaSpec& spec, uint32_t part,
                            uint32_t parts, const GgufSplit& says);

}  // namespace nbl::test
