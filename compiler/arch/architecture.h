// From a checkpoint to a graph: one file an architecture (docs/architectures.md).
#pragma once

#include "compiler/graph/graph.h"
#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

struct ArchitectureOptions {
  uint32_t context = 0;  // positions of the KV state; at most the checkpoint's
  uint32_t prefill_chunk = 64;
  DType cache = DType::f16;  // or f32, i8
};

// The network as its paper has it, one op for each of its steps and nothing fused.
//
// Borrows  the checkpoint's tensors, while the graph is in use.
// Errors   CompileError, where the architecture is not known or its numbers are outside what the
//          runtime computes.
Graph build_graph(const Checkpoint& checkpoint, const ArchitectureOptions& options);

// Errors  CompileError, as build_graph().
void check_hyper(const Hyper& hyper, const ArchitectureOptions& options);

}  // namespace nbl::compiler
