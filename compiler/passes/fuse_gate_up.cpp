#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

// The plain linear that feeds slot `slot` of ops[reader] and nothing else, or -1.
int32_t linear_for(const Graph& graph, size_t reader, size_t slot) {
  const int32_t tensor = graph.ops[reader].inputs[slot];
  const int32_t op = graph.producer(tensor);
  return is_plain_linear(graph, op) && graph.users(tensor) == std::vector{reader} ? op : -1;
}

// Turns ops[swiglu] into the linear that does the work of all three.
void rewrite(Graph* graph, size_t swiglu, size_t gate, size_t up) {
  GraphOp& op = graph->ops[swiglu];
  const int32_t gate_weight = graph->ops[gate].inputs[1];
  const int32_t up_weight = graph->ops[up].inputs[1];
  const std::vector<uint32_t> shape = graph->tensor(gate_weight).shape;
  auto rows = arrange(Arrangement::interleaved,
                      {graph->tensor(gate_weight).constant, graph->tensor(up_weight).constant});
  const std::string at = op.name.substr(0, op.name.rfind('.') + 1);
  const int32_t weight = graph->add({.name = at + "ffn_gate_up.weight",
                                     .role = Role::weight,
                                     .dtype = DType::q4,
                                     .shape = {2 * row_stride(shape[0]), shape[1]},
                                     .constant = std::move(rows)});
  op.kind = graph->ops[gate].kind;
  op.name = at + "ffn_gate_up";
  op.inputs = {graph->ops[gate].inputs[0], weight};
  op.swiglu = true;
  remove_ops(graph, {gate, up});
}

}  // namespace

int fuse_gate_up(Graph* graph) {
  int applied = 0;
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    if (graph->ops[i].kind != OpKind::swiglu) continue;
    const int32_t gate = linear_for(*graph, i, 0);
    const int32_t up = linear_for(*graph, i, 1);
    if (gate < 0 || up < 0 || gate == up) continue;
    const GraphOp& gate_op = graph->ops[static_cast<size_t>(gate)];
    const GraphOp& up_op = graph->ops[static_cast<size_t>(up)];
    if (gate_op.inputs[0] != up_op.inputs[0] || gate_op.kind != up_op.kind) continue;
    rewrite(graph, i, static_cast<size_t>(gate), static_cast<size_t>(up));
    i -= 2;
    ++applied;
  }
  return applied;
}

}  // namespace nbl::compiler
