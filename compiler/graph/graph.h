// The compiler's graph: the tensors and ops of one model in execution order.
//
// Kinds and operand order are those of rt/model/model.h. Activations are written once, by an op
// before all that read them; KV state is written in place by update_cache and rope_update_cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compiler/graph/constant.h"
#include "rt/model/model.h"

namespace nbl::compiler {

// An operand that is left out.
inline constexpr int32_t kAbsent = -1;

// Shapes   as in rt/model/schema.fbs: activations [0, columns], weights [rows, columns] or
//          [columns], state [kv_heads, context, head_dim], input [0].
struct GraphTensor {
  std::string name;
  Role role = Role::activation;
  DType dtype = DType::f32;
  std::vector<uint32_t> shape = {};
  std::shared_ptr<const Constant> constant = {};  // weights only
  Layout q4_layout = Layout::q4_t16k8;            // q4 only

  // Of a q4 or q8 weight.
  Layout layout() const { return dtype == DType::q8 ? Layout::q8_t16k4 : q4_layout; }
};

struct GraphOp {
  OpKind kind = OpKind::add;
  std::string name = {};
  std::vector<int32_t> inputs =
      {};  // tensor indices or kAbsent; absent ones at the end may be left out
  std::vector<int32_t> outputs = {};
  float eps = 0;
  float scale = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t rotary_dim = 0;
  bool rope_half = false;
  bool swiglu = false;
  bool last_row = false;
  Function function = Function::none;
  float alpha = 0;
  uint32_t offset = 0;
  uint32_t window = 0;
  float softcap = 0;
  bool full = false;

  int32_t input(size_t slot) const { return slot < inputs.size() ? inputs[slot] : kAbsent; }
};

struct Graph {
  std::string name;
  std::string architecture;
  uint32_t vocab_size = 0;
  uint32_t context_length = 0;
  uint32_t prefill_chunk = 0;
  std::vector<uint32_t> stop_tokens;
  std::vector<GraphTensor> tensors;
  std::vector<GraphOp> ops;

  // Returns the new tensor's index.
  int32_t add(GraphTensor tensor);
  GraphTensor& tensor(int32_t index) { return tensors[static_cast<size_t>(index)]; }
  const GraphTensor& tensor(int32_t index) const { return tensors[static_cast<size_t>(index)]; }
  uint32_t columns(int32_t index) const { return tensor(index).shape.back(); }

  // The op that writes an activation, or -1.
  int32_t producer(int32_t tensor) const;
  // The ops that read a tensor, ascending; one that reads it twice is listed once.
  std::vector<size_t> users(int32_t tensor) const;
};

// Removes the ops whose index is in `ops`.
void remove_ops(Graph* graph, const std::vector<size_t>& ops);

// Drops the tensors that no op names and numbers the others in the order of their first mention,
// which is the order of definition for activations: the order a file wants.
void tidy(Graph* graph);

// Says in one sentence what is wrong with a graph; empty where it is well formed: operands exist,
// are defined before they are read and written once, and fit together in role, type and shape.
std::string verify(const Graph& graph);

// One line an op, for tests and people:
//   q [T, 64] = linear_q4gsw(x, blk.0.attn_q)
std::string dump(const Graph& graph);

}  // namespace nbl::compiler
