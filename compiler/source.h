// What a model is made of, whatever file it comes from: a checkpoint, whose architecture the
// compiler knows, or an exported program, which brings its own graph.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/compile.h"

namespace nbl::compiler {

struct ModelSource {
  Graph graph;  // before the passes
  Hyper hyper;  // for people
  std::optional<TokenizerData> tokenizer;
  Metadata metadata;
  std::vector<std::string> notes;     // one sentence each, of interest
  std::vector<std::string> warnings;  // one sentence each, of concern
  std::shared_ptr<void> storage;      // keeps what the graph's constants borrow
};

// Errors  ImportError, CompileError: one sentence.
ModelSource read_checkpoint(const CompileOptions& options);
ModelSource read_program(const CompileOptions& options);

}  // namespace nbl::compiler
