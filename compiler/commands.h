// The subcommands of nibblec. Each prints to the terminal and throws on failure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "compiler/compile.h"

namespace nbl::compiler {

// Writes the model; progress goes to stderr where that is a terminal.
void run_compile(CompileOptions options);

struct InspectOptions {
  std::filesystem::path input;
  std::string board;  // empty: no plan
  bool json = false;
};

// Prints what a model file holds and, for a board, what its device would do.
void run_inspect(const InspectOptions& options);

struct PerplexityOptions {
  std::filesystem::path input;
  std::filesystem::path text;
  std::filesystem::path tokenizer = {};
  uint32_t group_size = 32;
  uint32_t window = 512;  // tokens, the context's length at most
};

// Prints the perplexity of a text under the checkpoint's weights and under their 4-bit form.
void run_perplexity(const PerplexityOptions& options);

}  // namespace nbl::compiler
