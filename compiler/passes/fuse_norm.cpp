#include <algorithm>

#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

constexpr size_t kNormSlot = 2;

bool takes_norm(const GraphOp& op, int32_t normed) {
  return is_linear(op.kind) && op.inputs[0] == normed &&
         std::ranges::count(op.inputs, normed) == 1 && op.input(kNormSlot) == kAbsent;
}

}  // namespace

int fuse_norm(Graph* graph) {
  int applied = 0;
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    // A linear's norm is one over the whole row.
    if (graph->ops[i].kind != OpKind::rms_norm || graph->ops[i].heads > 1) continue;
    const GraphOp norm = graph->ops[i];
    const std::vector<size_t> users = graph->users(norm.outputs[0]);
    const bool all_take = std::ranges::all_of(
        users, [&](size_t user) { return takes_norm(graph->ops[user], norm.outputs[0]); });
    if (users.empty() || !all_take) continue;
    for (const size_t user : users) {
      GraphOp& linear = graph->ops[user];
      linear.inputs.resize(std::max(linear.inputs.size(), kNormSlot + 1), kAbsent);
      linear.inputs[0] = norm.inputs[0];
      linear.inputs[kNormSlot] = norm.inputs[1];
      linear.eps = norm.eps;
    }
    remove_ops(graph, {i});
    i -= 1;
    ++applied;
  }
  return applied;
}

}  // namespace nbl::compiler
