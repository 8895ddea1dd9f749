// A change to a model file that is written already.
#pragma once

#include <cstdint>
#include <filesystem>

namespace nbl::compiler {

// Makes `tokens` the model's own prefill chunk. Nothing else of the file changes but what the
// header says of the graph.
//
// Errors  CompileError: not a model file; a file that cannot be written.
void set_prefill_chunk(const std::filesystem::path& path, uint32_t tokens);

}  // namespace nbl::compiler
