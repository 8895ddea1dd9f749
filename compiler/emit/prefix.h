// A model file with a prefix: a text that it has read before it is started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "rt/model/model.h"

namespace nbl::compiler {

struct PrefixData {
  std::vector<uint32_t> tokens;
  std::vector<std::byte> rows;  // of all caches, position by position
  std::string text;             // for people
};

// Writes the model with this prefix in place of the one that it may have. Weights stay as they are,
// a whole number of pages further on where the graph has grown.
//
// Errors  CompileError; `path` is then as it was.
void write_with_prefix(const Model& model, const PrefixData& prefix,
                       const std::filesystem::path& path);

}  // namespace nbl::compiler
