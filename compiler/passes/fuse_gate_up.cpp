#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

// The plain linear that feeds slot `slot` of ops[reader] and nothing else, or -1.
int32_t linear_for(const Graph& graph, size_t reader, size_t slot) {
  const int32_t tensor = graph.ops[reader].inputs[slot];
  const int32_t op = graph.producer(tensor);
  return is_plain_linear(graph, op) && graph.users(tensor) == std::vector{reader} ? op : -1;
}

// A product of an opened gate and up, by the ops around it.
struct Gated {
  size_t product;  // swiglu, or mul
  bool has_gelu;   // of the gate, on its own
  size_t gelu, gate, up;

  std::vector<size_t> replaced() const {
    return has_gelu ? std::vector{gelu, gate, up} : std::vector{gate, up};
  }
};

bool is(const GraphOp& op, Function function) {
  return op.kind == OpKind::elementwise && op.function == function;
}

// The gelu whose result slot `slot` of ops[product], a mul, reads and nothing else does, or -1.
int32_t gelu_for(const Graph& graph, size_t product, size_t slot) {
  const int32_t tensor = graph.ops[product].inputs[slot];
  const int32_t from = graph.producer(tensor);
  if (from < 0 || !is(graph.ops[static_cast<size_t>(from)], Function::gelu_tanh)) return -1;
  return graph.users(tensor) == std::vector{product} ? from : -1;
}

bool match_linears(const Graph& graph, size_t gate_reader, size_t gate_slot, size_t up_slot,
                   Gated* found) {
  const int32_t gate = linear_for(graph, gate_reader, gate_slot);
  const int32_t up = linear_for(graph, found->product, up_slot);
  if (gate < 0 || up < 0 || gate == up) return false;
  found->gate = static_cast<size_t>(gate);
  found->up = static_cast<size_t>(up);
  const GraphOp& gate_op = graph.ops[found->gate];
  const GraphOp& up_op = graph.ops[found->up];
  return gate_op.inputs[0] == up_op.inputs[0] && gate_op.kind == up_op.kind &&
         graph.tensor(gate_op.inputs[1]).shape == graph.tensor(up_op.inputs[1]).shape;
}

bool match(const Graph& graph, size_t product, Gated* found) {
  const GraphOp& op = graph.ops[product];
  *found = {.product = product, .has_gelu = false, .gelu = 0, .gate = 0, .up = 0};
  if (op.kind == OpKind::swiglu) return match_linears(graph, product, 0, 1, found);
  if (!is(op, Function::mul) || op.input(1) == kAbsent) return false;
  for (const size_t slot : {0u, 1u}) {
    const int32_t gelu = gelu_for(graph, product, slot);
    if (gelu < 0) continue;
    found->has_gelu = true;
    found->gelu = static_cast<size_t>(gelu);
    return match_linears(graph, found->gelu, 0, 1 - slot, found);
  }
  return false;
}

// Turns the product into the linear that does the work of all of them.
void rewrite(Graph* graph, const Gated& gated) {
  GraphOp& op = graph->ops[gated.product];
  const GraphOp& gate = graph->ops[gated.gate];
  const int32_t gate_weight = gate.inputs[1];
  const int32_t up_weight = graph->ops[gated.up].inputs[1];
  const std::vector<uint32_t> shape = graph->tensor(gate_weight).shape;
  auto rows = arrange(Arrangement::interleaved,
                      {graph->tensor(gate_weight).constant, graph->tensor(up_weight).constant});
  const std::string at = op.name.substr(0, op.name.rfind('.') + 1);
  const int32_t weight = graph->add({.name = at + "ffn_gate_up.weight",
                                     .role = Role::weight,
                                     .dtype = graph->tensor(gate_weight).dtype,
                                     .shape = {2 * row_stride(shape[0]), shape[1]},
                                     .constant = std::move(rows)});
  op.kind = gate.kind;
  op.name = at + "ffn_gate_up";
  op.inputs = {gate.inputs[0], weight};
  op.swiglu = true;
  op.function = gated.has_gelu ? Function::gelu_tanh : Function::none;
  op.alpha = 0;
  remove_ops(graph, gated.replaced());
}

}  // namespace

int fuse_gate_up(Graph* graph) {
  int applied = 0;
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    Gated gated{};
    if (!match(*graph, i, &gated)) continue;
    rewrite(graph, gated);
    i -= gated.replaced().size();
    ++applied;
  }
  return applied;
}

}  // namespace nbl::compiler
