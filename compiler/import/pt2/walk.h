// One pass over the nodes of a program.
#pragma once

#include <map>
#include <set>
#include <string>

#include "compiler/import/pt2/call.h"

namespace nbl::compiler::pt2 {

// Which values are views of which, and what the graph writes in place: known before the walk.
struct Aliases {
  std::map<std::string, std::string> root;  // of every value that is a view, and of every input
  std::set<std::string> written;            // inputs that the graph writes

  const std::string& root_of(const std::string& name) const;
};
Aliases find_aliases(const ExportedProgram& program);

// The inputs by what they are to the model.
struct Inputs {
  std::string tokens;
  std::vector<std::string> positions;
  int64_t most_tokens = 1;    // of one step
  bool fixed_length = false;  // one token a step
  std::string length_symbol;  // else: of the token count
};
// Errors  ImportError.
Inputs find_inputs(const ExportedProgram& program, const Aliases& aliases,
                   const LowerOptions& options);

// Runs every node; afterwards the context has the ops, and `outputs` the program's user outputs.
//
// Errors  ImportError, one sentence that names the op and its place in the source.
void walk(Context& context, const Aliases& aliases, const Inputs& inputs,
          std::vector<Value>* outputs);

// "decoder.py:199 (x = x.pow(2))" of the last frame; empty where there is none.
std::string source_place(const std::string& stack_trace);

}  // namespace nbl::compiler::pt2
