// The rewrites between architecture and file. Each is one file, changes nothing that the model
// computes, and can be switched off by name.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace nbl::compiler {

// Every pass returns how many times it applied and leaves a well-formed graph.

// Weights of the same type and shape whose rows are equal become one tensor: a tied output head and
// embedding, above all.
int tie_weights(Graph* graph);

// Functions that have an op of their own become it, so that the passes behind this one see it: the
// sum of two activations becomes add, silu(gate) * up becomes swiglu, x * sigmoid(x) becomes silu.
int lower_elementwise(Graph* graph);

// q, k and v linears of the same x, with or without biases, norms of the heads of q and k, their
// rotation and the two cache writes become one linear over the stacked rows and one
// rope_update_cache. It is one rewrite because a graph has no op that splits a tensor: half of it
// would have no meaning.
int fuse_qkv(Graph* graph);

// gate and up linears of the same x and their swiglu, or gelu_tanh(gate) * up, become one linear
// whose rows are gate and up in turn, padded with zero rows to 2 * align_up(F, 32).
int fuse_gate_up(Graph* graph);

// An add of a linear's result becomes the linear's residual operand.
int fuse_residual(Graph* graph);

// A norm that only linears read becomes their norm operand. The runtime splits it off again where
// that is faster on the device.
int fuse_norm(Graph* graph);

// Every linear with a 4-bit weight takes int8 activations.
int quantize_activations(Graph* graph);

struct Pass {
  const char* name;
  const char* does;  // for --help
  bool fusion;       // --no-fuse switches it off
  int (*run)(Graph*);
};

// In the order in which they run.
std::span<const Pass> all_passes();

// How the table of an embedding lies: in tiles where something multiplies with the same nibbles,
// else in rows in the order that it came in; or as asked for, with a copy of its own where a linear
// needs tiles.
enum class EmbeddingLayout : uint8_t { automatic, linear, embedding, tiled };

void choose_layouts(Graph* graph, EmbeddingLayout wanted);

// What linears multiply their weights with.
enum class Activations : uint8_t { f32, int8 };

// Matrices by name and the bits that they are kept in.
struct KeepRule {
  std::string pattern;  // a shell's: * and ? and [...]; of the name, with ".weight" or without
  uint32_t bits = 4;    // 4 or 8
};

// The bits that a matrix of this name is kept in: those of the last rule that names it, or `bits`.
// used: for each rule whether it has ever named one; may be null.
uint32_t kept_bits(const std::string& name, uint32_t bits, std::span<const KeepRule> rules,
                   std::vector<bool>* used = nullptr);

// Keeps the embedding's table and the matrix that the logits come from in `head_bits`, and what
// rules name in their bits; the last rule that names a matrix holds. Before the other passes: a
// name is the checkpoint's.
//
// Errors  CompileError: a rule names no matrix.
void keep_bits(Graph* graph, uint32_t head_bits, std::span<const KeepRule> rules);

struct PassOptions {
  bool fuse = true;
  std::vector<std::string> disabled = {};  // names
  EmbeddingLayout embedding_layout = EmbeddingLayout::automatic;
  Activations activations = Activations::f32;  // int8: quantize_activations() before all passes
  uint32_t head_bits = 4;                      // keep_bits(), before that
  std::vector<KeepRule> keep = {};
};

// Runs what the options leave on and verifies the graph after each, then chooses layouts.
//
// Errors  CompileError: a disabled pass has an unknown name.
void run_passes(Graph* graph, const PassOptions& options);

// A linear whose result is x * weight^T and nothing else, from the rows of the checkpoint.
bool is_plain_linear(const Graph& graph, const GraphOp& op);
bool is_plain_linear(const Graph& graph, int32_t op);  // false where there is none: -1

}  // namespace nbl::compiler
