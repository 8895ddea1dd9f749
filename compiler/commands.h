// The subcommands of nibblec. Each prints to the terminal and throws on failure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "compiler/compile.h"

namespace nbl::compiler {

// What to print about a model besides where it is.
struct CompilePrint {
  bool matrices = false;                 // bits, groups and error of each
  std::filesystem::path evaluated = {};  // a text whose perplexity is taken before and after
};

// The board that a model is for.
struct CompileTarget {
  std::string board;            // empty: none
  bool chunk_is_given = false;  // the user's prefill chunk, not to be made smaller for the board
};

// What to write beside the model for an image that it is linked into; empty = not.
struct ImageParts {
  std::filesystem::path object = {};
  std::filesystem::path config = {};   // needs a board
  std::filesystem::path kernels = {};  // needs a board
  std::string symbol = "nibble_model";
  std::string machine = {};  // of the object; empty: the board's, or this machine's
};

// Before the work: that the options go together. Errors  CompileError.
void check_image_parts(const CompileTarget& target, const ImageParts& parts);

// Writes them for a model that is written, and tells what they save.
//
// Errors  CompileError.
void write_image_parts(const std::filesystem::path& model, const CompileTarget& target,
                       const ImageParts& parts);

// Writes the model; progress goes to stderr where that is a terminal.
//
// Errors  as compile(); CompileError where the model does not fit the board: the output file is
// then
//         as it was.
void run_compile(CompileOptions options, const CompileTarget& target = {},
                 const ImageParts& parts = {}, const CompilePrint& print = {});

struct InspectOptions {
  std::filesystem::path input;
  std::string board;             // empty: no plan
  std::string weights = "auto";  // with a board: auto, texture or buffer, as in nibble-run
  bool json = false;
};

// Prints what a model file holds and, for a board, what its device would do.
void run_inspect(const InspectOptions& options);

struct TokenizeOptions {
  std::filesystem::path input;  // a model file, a checkpoint or a vocabulary
  std::filesystem::path texts;
  bool add_bos = false;
  bool special = false;
};

// Prints the token ids of each text of a file, a line a text. Texts end with the line
// __ggml_vocab_test__; a file without it is one text.
void run_tokenize(const TokenizeOptions& options);

struct PrefixOptions {
  std::filesystem::path input;
  std::filesystem::path output;
  std::string text;
  std::filesystem::path file;
  std::string tokens;  // ids separated by commas
  bool special = false;
  int32_t device = -1;  // -1: the first that fits
};

// Runs a text on a Vulkan device of this machine and writes the model with what its caches hold
// then.
void run_prefix(const PrefixOptions& options);

struct PerplexityOptions {
  std::filesystem::path input;
  std::filesystem::path text;
  std::filesystem::path tokenizer = {};
  uint32_t group_size = 32;
  Quantizer quantizer = Quantizer::search;
  std::filesystem::path calibrate = {};
  uint32_t head_bits = 4;
  std::vector<KeepRule> keep = {};
  Activations activations = Activations::f32;
  uint32_t window = 512;  // tokens, the context's length at most
};

// Prints the perplexity of a text under the checkpoint's weights and under their quantized form.
void run_perplexity(const PerplexityOptions& options);

}  // namespace nbl::compiler
