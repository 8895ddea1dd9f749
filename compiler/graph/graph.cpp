#include "compiler/graph/graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace nbl::compiler {
namespace {

std::string operand(const Graph& graph, int32_t index) {
  return index == kAbsent ? "-" : graph.tensor(index).name;
}

std::string result(const Graph& graph, int32_t index) {
  const GraphTensor& tensor = graph.tensor(index);
  if (tensor.role != Role::activation) return tensor.name;
  return fmt::format("{} [T, {}]", tensor.name, tensor.shape.back());
}

std::string attributes(const GraphOp& op) {
  std::string text;
  if (op.eps != 0) text += fmt::format(" eps={:g}", op.eps);
  if (op.scale != 0) text += fmt::format(" scale={:g}", op.scale);
  if (op.heads != 0) text += fmt::format(" heads={}", op.heads);
  if (op.kv_heads != 0) text += fmt::format(" kv_heads={}", op.kv_heads);
  if (op.head_dim != 0) text += fmt::format(" head_dim={}", op.head_dim);
  if (op.rotary_dim != 0) text += fmt::format(" rotary_dim={}", op.rotary_dim);
  if (op.rope_half) text += " rope_half";
  if (op.swiglu) text += " swiglu";
  if (op.last_row) text += " last_row";
  if (op.function != Function::none) {
    text += fmt::format(" function={}", kFunctionNames[static_cast<size_t>(op.function)]);
  }
  if (op.alpha != 0) text += fmt::format(" alpha={:g}", op.alpha);
  if (op.offset != 0) text += fmt::format(" offset={}", op.offset);
  if (op.window != 0) text += fmt::format(" window={}", op.window);
  if (op.softcap != 0) text += fmt::format(" softcap={:g}", op.softcap);
  if (op.full) text += " full";
  return text;
}

}  // namespace

int32_t Graph::add(GraphTensor tensor) {
  tensors.push_back(std::move(tensor));
  return static_cast<int32_t>(tensors.size()) - 1;
}

int32_t Graph::producer(int32_t tensor) const {
  for (size_t i = 0; i < ops.size(); ++i) {
    if (std::ranges::count(ops[i].outputs, tensor) > 0) return static_cast<int32_t>(i);
  }
  return -1;
}

std::vector<size_t> Graph::users(int32_t tensor) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < ops.size(); ++i) {
    if (std::ranges::count(ops[i].inputs, tensor) > 0) found.push_back(i);
  }
  return found;
}

void remove_ops(Graph* graph, const std::vector<size_t>& ops) {
  size_t index = 0;
  std::erase_if(graph->ops, [&](const GraphOp&) { return std::ranges::count(ops, index++) > 0; });
}

void tidy(Graph* graph) {
  std::vector<int32_t> renumbered(graph->tensors.size(), kAbsent);
  std::vector<GraphTensor> kept;
  const auto move_over = [&](int32_t* index) {
    if (*index == kAbsent) return;
    int32_t& target = renumbered[static_cast<size_t>(*index)];
    if (target == kAbsent) {
      target = static_cast<int32_t>(kept.size());
      kept.push_back(std::move(graph->tensor(*index)));
    }
    *index = target;
  };
  for (GraphOp& op : graph->ops) {
    std::ranges::for_each(op.inputs, [&](int32_t& index) { move_over(&index); });
    std::ranges::for_each(op.outputs, [&](int32_t& index) { move_over(&index); });
  }
  graph->tensors = std::move(kept);
}

std::string dump(const Graph& graph) {
  std::string text;
  for (const GraphOp& op : graph.ops) {
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    for (const int32_t index : op.inputs)
      inputs.push_back(operand(graph, index));
    for (const int32_t index : op.outputs)
      outputs.push_back(result(graph, index));
    if (!outputs.empty()) text += fmt::format("{} = ", fmt::join(outputs, ", "));
    text += fmt::format("{}({}){}\n", kOpKindNames[static_cast<size_t>(op.kind)],
                        fmt::join(inputs, ", "), attributes(op));
  }
  return text;
}

}  // namespace nbl::compiler
