#include <algorithm>

#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

bool is_same_weight(const GraphTensor& a, const GraphTensor& b) {
  return a.role == Role::weight && b.role == Role::weight && a.dtype == b.dtype &&
         a.shape == b.shape && same_rows(*a.constant, *b.constant);
}

}  // namespace

int tie_weights(Graph* graph) {
  int applied = 0;
  std::vector<int32_t> replaced_by(graph->tensors.size(), kAbsent);
  for (size_t later = 0; later < graph->tensors.size(); ++later) {
    for (size_t first = 0; first < later; ++first) {
      if (replaced_by[first] != kAbsent) continue;
      if (!is_same_weight(graph->tensors[first], graph->tensors[later])) continue;
      replaced_by[later] = static_cast<int32_t>(first);
      ++applied;
      break;
    }
  }
  for (GraphOp& op : graph->ops) {
    for (int32_t& input : op.inputs) {
      if (input == kAbsent) continue;
      const int32_t target = replaced_by[static_cast<size_t>(input)];
      if (target != kAbsent) input = target;
    }
  }
  return applied;
}

}  // namespace nbl::compiler
