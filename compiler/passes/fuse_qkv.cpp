#include <algorithm>

#include "compiler/passes/passes.h"

namespace nbl::compiler {
namespace {

// The ops around one attention, by index.
struct Attention {
  size_t sdpa, rope_q, rope_k, update_k, update_v, linear_q, linear_k, linear_v;
  bool has_norms;  // of each head of q and k, before they turn
  size_t norm_q, norm_k;

  std::vector<size_t> replaced() const {
    std::vector<size_t> ops = {rope_q, rope_k, update_k, update_v, linear_q, linear_k, linear_v};
    if (has_norms) ops.insert(ops.end(), {norm_q, norm_k});
    return ops;
  }
};

// The op of `kind` that writes `tensor`, where nothing but `reader` reads it; else -1.
int32_t only_for(const Graph& graph, int32_t tensor, OpKind kind, size_t reader) {
  const int32_t from = graph.producer(tensor);
  if (from < 0 || graph.ops[static_cast<size_t>(from)].kind != kind) return -1;
  return graph.users(tensor) == std::vector{reader} ? from : -1;
}

constexpr size_t kBiasSlot = 3;

// x * weight^T + bias, or without the bias.
bool is_linear_with_bias(const Graph& graph, GraphOp op) {
  if (op.inputs.size() > kBiasSlot) op.inputs[kBiasSlot] = kAbsent;
  return is_plain_linear(graph, op);
}

bool follow(const Graph& graph, int32_t tensor, OpKind kind, size_t reader, size_t* found) {
  const int32_t op = only_for(graph, tensor, kind, reader);
  if (op < 0) return false;
  *found = static_cast<size_t>(op);
  return !is_linear(kind) || is_linear_with_bias(graph, graph.ops[*found]);
}

bool same_rotation(const GraphOp& a, const GraphOp& b) {
  return a.inputs[1] == b.inputs[1] && a.head_dim == b.head_dim && a.rotary_dim == b.rotary_dim &&
         a.rope_half == b.rope_half;
}

// Norms of whole heads that are alike but for their weights.
bool are_head_norms(const Graph& graph, const Attention& a) {
  const uint32_t head_dim = graph.ops[a.rope_q].head_dim;
  const auto is_head_norm = [&](const GraphOp& norm) {
    return graph.columns(norm.inputs[1]) == head_dim;
  };
  const GraphOp& q = graph.ops[a.norm_q];
  const GraphOp& k = graph.ops[a.norm_k];
  return is_head_norm(q) && is_head_norm(k) && q.eps == k.eps;
}

bool match(const Graph& graph, size_t sdpa, Attention* found) {
  const std::vector<GraphOp>& ops = graph.ops;
  if (ops[sdpa].kind != OpKind::sdpa_with_kv_cache) return false;
  Attention a{};
  a.sdpa = sdpa;
  const auto from = [&](size_t reader, size_t slot, OpKind kind, size_t* op) {
    return follow(graph, ops[reader].inputs[slot], kind, reader, op);
  };
  const auto from_linear = [&](size_t reader, size_t* op) {
    return from(reader, 0, OpKind::linear_q4gsw, op) ||
           from(reader, 0, OpKind::linear_dq8ca_q4gsw, op) ||
           from(reader, 0, OpKind::linear_q8gsw, op);
  };
  const bool ends = from(a.sdpa, 0, OpKind::rope, &a.rope_q) &&
                    from(a.sdpa, 1, OpKind::update_cache, &a.update_k) &&
                    from(a.sdpa, 2, OpKind::update_cache, &a.update_v) &&
                    from(a.update_k, 0, OpKind::rope, &a.rope_k);
  if (!ends || !same_rotation(ops[a.rope_q], ops[a.rope_k])) return false;
  a.has_norms = from(a.rope_q, 0, OpKind::rms_norm, &a.norm_q) &&
                from(a.rope_k, 0, OpKind::rms_norm, &a.norm_k);
  if (a.has_norms && !are_head_norms(graph, a)) return false;
  const bool starts = from_linear(a.has_norms ? a.norm_q : a.rope_q, &a.linear_q) &&
                      from_linear(a.has_norms ? a.norm_k : a.rope_k, &a.linear_k) &&
                      from_linear(a.update_v, &a.linear_v);
  if (!starts) return false;
  const GraphOp& q = ops[a.linear_q];
  for (const size_t other : {a.linear_k, a.linear_v}) {
    if (ops[other].inputs[0] != q.inputs[0] || ops[other].kind != q.kind) return false;
  }
  *found = a;
  return true;
}

int32_t stacked_weight(Graph* graph, const Attention& a, const std::string& name) {
  std::vector<std::shared_ptr<const Constant>> parts;
  uint32_t row_count = 0;
  uint32_t columns = 0;
  for (const size_t linear : {a.linear_q, a.linear_k, a.linear_v}) {
    const GraphTensor& part = graph->tensor(graph->ops[linear].inputs[1]);
    parts.push_back(part.constant);
    row_count += part.shape[0];
    columns = part.shape[1];
  }
  return graph->add({.name = name + ".weight",
                     .role = Role::weight,
                     .dtype = weight_dtype(graph->ops[a.linear_q].kind),
                     .shape = {row_count, columns},
                     .constant = arrange(Arrangement::stacked, std::move(parts))});
}

// The biases one after the other, zeros for a linear without; kAbsent where none has one.
int32_t joined_bias(Graph* graph, const Attention& a, const std::string& name) {
  auto constant = std::make_shared<Constant>();
  bool any = false;
  for (const size_t linear : {a.linear_q, a.linear_k, a.linear_v}) {
    const GraphOp& op = graph->ops[linear];
    const int32_t bias = op.input(kBiasSlot);
    const size_t end = constant->values.size() + graph->columns(op.outputs[0]);
    if (bias != kAbsent) {
      const std::vector<float> values = constant_values(*graph->tensor(bias).constant);
      constant->values.insert(constant->values.end(), values.begin(), values.end());
      any = true;
    }
    constant->values.resize(end);
  }
  if (!any) return kAbsent;
  const auto length = static_cast<uint32_t>(constant->values.size());
  return graph->add({.name = name + ".bias",
                     .role = Role::weight,
                     .shape = {length},
                     .constant = std::move(constant)});
}

// The weights of both norms: those of q, then those of k.
int32_t joined_norm(Graph* graph, const Attention& a, const std::string& name) {
  auto constant = std::make_shared<Constant>();
  for (const size_t norm : {a.norm_q, a.norm_k}) {
    const std::vector<float> values =
        constant_values(*graph->tensor(graph->ops[norm].inputs[1]).constant);
    constant->values.insert(constant->values.end(), values.begin(), values.end());
  }
  const auto length = static_cast<uint32_t>(constant->values.size());
  return graph->add({.name = name + ".weight",
                     .role = Role::weight,
                     .shape = {length},
                     .constant = std::move(constant)});
}

// "blk.3.attn_q" -> "blk.3."
std::string place(const std::string& name) {
  return name.substr(0, name.rfind('.') + 1);
}

void rewrite(Graph* graph, const Attention& a) {
  const std::string at = place(graph->ops[a.linear_q].name);
  const int32_t weight = stacked_weight(graph, a, at + "attn_qkv");
  const int32_t bias = joined_bias(graph, a, at + "attn_qkv");
  const int32_t qkv =
      graph->add({.name = at + "attn_qkv", .shape = {0, graph->tensor(weight).shape[0]}});
  const GraphOp& rope_q = graph->ops[a.rope_q];
  GraphOp linear{.kind = graph->ops[a.linear_q].kind,
                 .name = at + "attn_qkv",
                 .inputs = {graph->ops[a.linear_q].inputs[0], weight},
                 .outputs = {qkv}};
  if (bias != kAbsent) linear.inputs.insert(linear.inputs.end(), {kAbsent, bias});
  GraphOp rope{.kind = OpKind::rope_update_cache,
               .name = at + "rope_cache",
               .inputs = {qkv, rope_q.inputs[1]},
               .outputs = {rope_q.outputs[0], graph->ops[a.update_k].outputs[0],
                           graph->ops[a.update_v].outputs[0]},
               .heads = graph->ops[a.sdpa].heads,
               .kv_heads = graph->ops[a.sdpa].kv_heads,
               .head_dim = rope_q.head_dim,
               .rotary_dim = rope_q.rotary_dim,
               .rope_half = rope_q.rope_half};
  if (a.has_norms) {
    rope.eps = graph->ops[a.norm_q].eps;
    rope.inputs.push_back(joined_norm(graph, a, at + "attn_qk_norm"));
  }
  const auto before_sdpa = graph->ops.begin() + static_cast<std::ptrdiff_t>(a.sdpa);
  graph->ops.insert(before_sdpa, {std::move(linear), std::move(rope)});
  remove_ops(graph, a.replaced());
}

}  // namespace

int fuse_qkv(Graph* graph) {
  int applied = 0;
  for (size_t i = 0; i < graph->ops.size(); ++i) {
    Attention attention{};
    if (!match(*graph, i, &attention)) continue;
    // The ops before the attention, seven or nine, give way to two.
    rewrite(graph, attention);
    i -= attention.replaced().size() - 2;
    ++applied;
  }
  return applied;
}

}  // namespace nbl::compiler
