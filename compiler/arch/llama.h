// The llama family: checkpoint -> graph.
#pragma once

#include "compiler/graph/graph.h"
#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

struct ArchitectureOptions {
  uint32_t context = 0;  // positions of the KV state; at most the checkpoint's
  uint32_t prefill_chunk = 64;
  DType cache = DType::f16;  // or f32, i8
};

// The network as the paper has it, one op for each of its steps and nothing fused.
//
// Borrows  the checkpoint's tensors, while the graph is in use.
// Errors   CompileError, where the numbers of the checkpoint are outside what the runtime computes.
// Source   Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023.
Graph build_llama(const Checkpoint& checkpoint, const ArchitectureOptions& options);

// The (cos, sin) pairs of every position, as two short tables: rows 0..63 are positions 0..63, row
// 64 + j is position 64 j. A kernel turns by the sum of both angles.
//
// Shapes  [64 + ceil(context / 64), R]; element 2 i is cos(p f_i), 2 i + 1 is sin(p f_i).
std::vector<float> rope_table(const std::vector<double>& inverse_frequencies, uint32_t context);

}  // namespace nbl::compiler
