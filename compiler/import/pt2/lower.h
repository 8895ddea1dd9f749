// An exported program as the compiler's graph.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/import/pt2/exported_program.h"

namespace nbl::compiler::pt2 {

struct LowerOptions {
  std::string tokens = {};  // names of the inputs; empty: found by what they feed
  std::string position = {};
  uint32_t context = 0;  // 0: what the program allows, but at most default_context
  uint32_t default_context = 2048;
  uint32_t prefill_chunk = 64;
};

inline uint32_t wanted_context(const LowerOptions& options) {
  return options.context == 0 ? options.default_context : options.context;
}

// Keeps what the constants of a graph borrow and the archive does not have as it is wanted.
struct WeightStore {
  std::deque<SourceTensor> tensors;
  std::deque<std::vector<float>> values;
};

struct Lowered {
  Graph graph;
  uint32_t context_limit = 0;         // positions that the program allows
  std::vector<std::string> notes;     // one sentence each
  std::vector<std::string> warnings;  // one sentence each
  std::shared_ptr<void> storage;      // what the graph's constants borrow
};

// Borrows  the program, while the graph is in use.
// Errors   ImportError: one sentence that names the file, the op and its place in the source.
Lowered lower(const ExportedProgram& program, const LowerOptions& options);

}  // namespace nbl::compiler::pt2
