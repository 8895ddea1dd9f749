// Reads the JSON of an exported program. Each function throws ImportError, which names the place.
//
// Source  torch/_export/serde/schema.py
#pragma once

#include "compiler/import/json_field.h"
#include "compiler/import/pt2/exported_program.h"

namespace nbl::compiler::pt2 {

inline constexpr int64_t kSchemaMajor = 8;

ScalarType scalar_type_of(const JsonField& field);
SymInt sym_int_of(const JsonField& field);
TensorMeta tensor_meta_of(const JsonField& field);
// Names are those of the graph that the argument stands in.
Argument argument_of(const JsonField& field);

// Fills nodes, tensors and integers. Graphs that a node only wraps, to switch gradients off, are
// put in the node's place; their values are named after them ("submod_1.unsqueeze"). Every value
// is defined once, before it is used, and every tensor has its TensorMeta. Returns the names in
// the program of all values of the graph.
std::map<std::string, std::string> read_graph(const JsonField& graph, ExportedProgram* program);

// Fills everything but constants and storage.
void read_program(const JsonField& root, ExportedProgram* program);

}  // namespace nbl::compiler::pt2
