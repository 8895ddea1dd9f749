#include "compiler/passes/passes.h"

namespace nbl::compiler {

int quantize_activations(Graph* graph) {
  int applied = 0;
  for (GraphOp& op : graph->ops) {
    if (op.kind != OpKind::linear_q4gsw) continue;
    op.kind = OpKind::linear_dq8ca_q4gsw;
    ++applied;
  }
  return applied;
}

}  // namespace nbl::compiler
