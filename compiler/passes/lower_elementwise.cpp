#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

bool is(const GraphOp& op, Function function) {
  return op.kind == OpKind::elementwise && op.function == function;
}

// True where both operands are activations of the result's shape.
bool is_even(const Graph& graph, const GraphOp& op) {
  const int32_t b = op.input(1);
  return b != kAbsent && graph.tensor(b).role == Role::activation &&
         graph.columns(b) == graph.columns(op.inputs[0]);
}

// The op of `function` whose result slot `slot` of ops[reader] reads and nothing else does, or -1.
int32_t only_for(const Graph& graph, size_t reader, size_t slot, Function function) {
  const int32_t tensor = graph.ops[reader].inputs[slot];
  const int32_t from = graph.producer(tensor);
  if (from < 0 || !is(graph.ops[static_cast<size_t>(from)], function)) return -1;
  return graph.users(tensor) == std::vector{reader} ? from : -1;
}

// add(a, b) that adds one to one.
bool lower_add(const Graph& graph, GraphOp* op) {
  if (!is(*op, Function::add) || op->alpha != 1 || !is_even(graph, *op)) return false;
  op->kind = OpKind::add;
  op->function = Function::none;
  op->alpha = 0;
  return true;
}

// mul(x, sigmoid(x)) -> silu(x), mul(silu(gate), up) -> swiglu(gate, up), the operands of mul in
// either order. Returns true where ops[i] gave way: it is then at i - 1.
bool lower_mul(Graph* graph, size_t i) {
  if (!is(graph->ops[i], Function::mul) || !is_even(*graph, graph->ops[i])) return false;
  if (graph->ops[i].inputs[0] == graph->ops[i].inputs[1]) return false;
  for (const size_t slot : {0u, 1u}) {
    const int32_t other = graph->ops[i].inputs[1 - slot];
    const int32_t sigmoid = only_for(*graph, i, slot, Function::sigmoid);
    const int32_t silu = only_for(*graph, i, slot, Function::silu);
    if (sigmoid >= 0 && graph->ops[static_cast<size_t>(sigmoid)].inputs[0] == other) {
      graph->ops[i].function = Function::silu;
      graph->ops[i].alpha = 0;
      graph->ops[i].inputs = {other};
      remove_ops(graph, {static_cast<size_t>(sigmoid)});
      return true;
    }
    if (silu >= 0) {
      const int32_t gate = graph->ops[static_cast<size_t>(silu)].inputs[0];
      graph->ops[i].kind = OpKind::swiglu;
      graph->ops[i].function = Function::none;
      graph->ops[i].alpha = 0;
      graph->ops[i].inputs = {gate, other};
      remove_ops(graph, {static_cast<size_t>(silu)});
      return true;
    }
  }
  return false;
}

}  // namespace

int lower_elementwise(Graph* graph) {
  int applied = 0;
  // Ops come after what they read, so a silu is made before the mul that takes it is looked at.
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    if (lower_mul(graph, i)) {
      i -= 1;
      ++applied;
    } else if (lower_add(*graph, &graph->ops[i])) {
      ++applied;
    }
  }
  return applied;
}

}  // namespace nbl::compiler
