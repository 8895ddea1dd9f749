#include <algorithm>

#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

constexpr size_t kWeightSlot = 1;

// Tables of 8 bits lie in tiles always.
bool is_q4_embedding(const GraphOp& op) {
  return op.kind == OpKind::embedding_q4gsw;
}

// Whether an op other than an embedding reads `tensor`.
bool is_multiplied(const Graph& graph, int32_t tensor) {
  return std::ranges::any_of(graph.users(tensor),
                             [&](size_t user) { return !is_q4_embedding(graph.ops[user]); });
}

// Whether the table is, in tiles, the same segment as a weight that something multiplies with.
bool shares_nibbles(const Graph& graph, int32_t table) {
  const GraphTensor& wanted = graph.tensor(table);
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    const GraphTensor& other = graph.tensors[i];
    const bool is_matrix = other.role == Role::weight && other.dtype == DType::q4;
    if (!is_matrix || !is_multiplied(graph, static_cast<int32_t>(i))) continue;
    if (other.shape == wanted.shape && same_nibbles(*other.constant, *wanted.constant)) return true;
  }
  return false;
}

Layout rows_layout(const Constant& constant) {
  const bool swapped = constant.quantized && constant.quantized->embedding_order;
  return swapped ? Layout::q4_rows_embedding : Layout::q4_rows_linear;
}

Layout layout_for(const Graph& graph, int32_t table, EmbeddingLayout wanted) {
  switch (wanted) {
    case EmbeddingLayout::linear:
      return Layout::q4_rows_linear;
    case EmbeddingLayout::embedding:
      return Layout::q4_rows_embedding;
    case EmbeddingLayout::tiled:
      return Layout::q4_t16k8;
    case EmbeddingLayout::automatic:
      break;
  }
  return shares_nibbles(graph, table) ? Layout::q4_t16k8
                                      : rows_layout(*graph.tensor(table).constant);
}

}  // namespace

void choose_layouts(Graph* graph, EmbeddingLayout wanted) {
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    if (!is_q4_embedding(graph->ops[i])) continue;
    int32_t table = graph->ops[i].inputs[kWeightSlot];
    const Layout layout = layout_for(*graph, table, wanted);
    if (layout == graph->tensor(table).q4_layout) continue;
    if (is_multiplied(*graph, table)) {
      const GraphTensor copy = graph->tensor(table);
      const int32_t own = graph->add(copy);
      for (GraphOp& op : graph->ops) {
        if (is_q4_embedding(op)) std::ranges::replace(op.inputs, table, own);
      }
      table = own;
    }
    graph->tensor(table).q4_layout = layout;
  }
}

}  // namespace nbl::compiler
