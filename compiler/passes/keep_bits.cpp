#include <fmt/format.h>
#include <fnmatch.h>

#include <string_view>

#include "compiler/error.h"
#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

constexpr size_t kWeightSlot = 1;

bool reads_matrix(const GraphOp& op) {
  return is_linear(op.kind) || is_embedding(op.kind);
}

bool matches(const std::string& pattern, const std::string& name) {
  constexpr std::string_view kEnd = ".weight";
  if (fnmatch(pattern.c_str(), name.c_str(), 0) == 0) return true;
  if (!name.ends_with(kEnd)) return false;
  const std::string stem = name.substr(0, name.size() - kEnd.size());
  return fnmatch(pattern.c_str(), stem.c_str(), 0) == 0;
}

// The linear that the logits come from, through whatever is done to them; -1 = none.
int32_t find_head(const Graph& graph) {
  if (graph.ops.empty() || graph.ops.back().kind != OpKind::sample) return -1;
  int32_t op = graph.producer(graph.ops.back().inputs[0]);
  while (op >= 0 && !is_linear(graph.ops[static_cast<size_t>(op)].kind)) {
    op = graph.producer(graph.ops[static_cast<size_t>(op)].input(0));
  }
  return op;
}

OpKind with_eight_bits(OpKind kind) {
  return is_embedding(kind) ? OpKind::embedding_q8gsw : OpKind::linear_q8gsw;
}

}  // namespace

uint32_t kept_bits(const std::string& name, uint32_t bits, std::span<const KeepRule> rules,
                   std::vector<bool>* used) {
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!matches(rules[i].pattern, name)) continue;
    bits = rules[i].bits;
    if (used != nullptr) (*used)[i] = true;
  }
  return bits;
}

void keep_bits(Graph* graph, uint32_t head_bits, std::span<const KeepRule> rules) {
  const int32_t head = find_head(*graph);
  std::vector<uint32_t> bits(graph->tensors.size(), 4);
  std::vector<bool> used(rules.size());
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    const GraphOp& op = graph->ops[i];
    if (!reads_matrix(op)) continue;
    const auto weight = static_cast<size_t>(op.inputs[kWeightSlot]);
    if (is_embedding(op.kind) || static_cast<int32_t>(i) == head) bits[weight] = head_bits;
  }
  for (const GraphOp& op : graph->ops) {
    if (!reads_matrix(op)) continue;
    const auto weight = static_cast<size_t>(op.inputs[kWeightSlot]);
    bits[weight] = kept_bits(graph->tensors[weight].name, bits[weight], rules, &used);
  }
  for (size_t rule = 0; rule < rules.size(); ++rule) {
    if (used[rule]) continue;
    throw CompileError(
        fmt::format("no matrix of the model is named '{}', which was to be kept at {} "
                    "bits",
                    rules[rule].pattern, rules[rule].bits));
  }
  for (GraphOp& op : graph->ops) {
    if (!reads_matrix(op) || bits[static_cast<size_t>(op.inputs[kWeightSlot])] != 8) continue;
    op.kind = with_eight_bits(op.kind);
    graph->tensor(op.inputs[kWeightSlot]).dtype = DType::q8;
  }
}

}  // namespace nbl::compiler
