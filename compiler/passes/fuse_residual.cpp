#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

constexpr size_t kResidualSlot = 4;

// The linear that writes what slot `slot` of ops[add] reads, where it can take a residual; else -1.
int32_t linear_for(const Graph& graph, size_t add, size_t slot) {
  const int32_t tensor = graph.ops[add].inputs[slot];
  const int32_t from = graph.producer(tensor);
  if (from < 0 || graph.users(tensor) != std::vector{add}) return -1;
  const GraphOp& op = graph.ops[static_cast<size_t>(from)];
  const bool takes =
      is_linear(op.kind) && !op.swiglu && !op.last_row && op.input(kResidualSlot) == kAbsent;
  return takes ? from : -1;
}

}  // namespace

int fuse_residual(Graph* graph) {
  int applied = 0;
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    if (graph->ops[i].kind != OpKind::add) continue;
    if (graph->ops[i].inputs[0] == graph->ops[i].inputs[1]) continue;
    size_t slot = 1;
    int32_t linear = linear_for(*graph, i, 1);
    if (linear < 0) linear = linear_for(*graph, i, slot = 0);
    if (linear < 0) continue;
    // The linear takes the place of the add, where both operands are there.
    GraphOp fused = graph->ops[static_cast<size_t>(linear)];
    fused.inputs.resize(kResidualSlot + 1, kAbsent);
    fused.inputs[kResidualSlot] = graph->ops[i].inputs[1 - slot];
    fused.outputs = graph->ops[i].outputs;
    graph->ops[i] = std::move(fused);
    remove_ops(graph, {static_cast<size_t>(linear)});
    i -= 1;
    ++applied;
  }
  return applied;
}

}  // namespace nbl::compiler
