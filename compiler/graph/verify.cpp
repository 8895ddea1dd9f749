#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "compiler/graph/graph.h"
#include "rt/model/cache.h"
#include "rt/model/check.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kMaxHeads = 1024;

struct Malformed {
  std::string sentence;
};

// The operands of one op, checked as they are asked for.
class Operands {
 public:
  Operands(const Graph& graph, const GraphOp& op) : graph_(graph), op_(op) {}

  template <typename... Args>
  void require(bool holds, fmt::format_string<Args...> format, Args&&... args) const {
    if (!holds) {
      throw Malformed{fmt::format("op {} ({}): {}", op_.name,
                                  kOpKindNames[static_cast<size_t>(op_.kind)],
                                  fmt::format(format, std::forward<Args>(args)...))};
    }
  }

  void count(size_t least, size_t most, size_t outputs) const {
    require(op_.inputs.size() >= least && op_.inputs.size() <= most, "{} inputs, {} to {} wanted",
            op_.inputs.size(), least, most);
    require(op_.outputs.size() == outputs, "{} outputs, {} wanted", op_.outputs.size(), outputs);
  }

  bool has(size_t slot) const { return op_.input(slot) != kAbsent; }

  const GraphTensor& input(size_t slot, Role role, DType dtype, size_t rank) const {
    require(has(slot), "input {} is missing", slot);
    return operand(op_.input(slot), role, dtype, rank);
  }
  const GraphTensor& output(size_t slot, Role role, DType dtype, size_t rank) const {
    return operand(op_.outputs[slot], role, dtype, rank);
  }
  uint32_t activation(size_t slot) const {
    return input(slot, Role::activation, DType::f32, 2).shape[1];
  }
  uint32_t result(size_t slot) const {
    return output(slot, Role::activation, DType::f32, 2).shape[1];
  }
  // A KV cache of any type that one may have.
  const GraphTensor& cache_input(size_t slot) const {
    require(has(slot), "input {} is missing", slot);
    return cache(op_.input(slot));
  }
  const GraphTensor& cache_output(size_t slot) const { return cache(op_.outputs[slot]); }
  uint32_t vector(size_t slot) const { return input(slot, Role::weight, DType::f32, 1).shape[0]; }

  void equal(const char* what, uint64_t value, uint64_t expected) const {
    require(value == expected, "{} is {}, {} wanted", what, value, expected);
  }

 private:
  const GraphTensor& operand(int32_t index, Role role, DType dtype, size_t rank) const {
    const GraphTensor& tensor = graph_.tensor(index);
    require(tensor.role == role && tensor.dtype == dtype && tensor.shape.size() == rank,
            "tensor {} is a rank-{} {} {}, a rank-{} {} {} wanted", tensor.name,
            tensor.shape.size(), kDTypeNames[static_cast<size_t>(tensor.dtype)],
            kRoleNames[static_cast<size_t>(tensor.role)], rank,
            kDTypeNames[static_cast<size_t>(dtype)], kRoleNames[static_cast<size_t>(role)]);
    return tensor;
  }

  const GraphTensor& cache(int32_t index) const {
    const GraphTensor& tensor = graph_.tensor(index);
    require(is_cache_type(tensor.dtype), "cache {} is {}; it can be f16, f32 or i8", tensor.name,
            kDTypeNames[static_cast<size_t>(tensor.dtype)]);
    return operand(index, Role::state, tensor.dtype, 3);
  }

  const Graph& graph_;
  const GraphOp& op_;
};

void check_linear(const Operands& in, const GraphOp& op) {
  in.count(2, 5, 1);
  const uint32_t columns = in.activation(0);
  const GraphTensor& weight = in.input(1, Role::weight, weight_dtype(op.kind), 2);
  const uint32_t out = in.result(0);
  in.require(is_tiled(weight.layout()), "weight {} has the layout {}, {} wanted", weight.name,
             kLayoutNames[static_cast<size_t>(weight.layout())],
             kLayoutNames[static_cast<size_t>(Layout::q4_t16k8)]);
  in.equal("weight columns", weight.shape[1], columns);
  in.equal("weight rows", weight.shape[0], op.swiglu ? 2 * row_stride(out) : out);
  if (in.has(2)) {
    in.equal("norm length", in.vector(2), columns);
    in.require(op.eps > 0, "eps is {}", op.eps);
  }
  if (in.has(3)) in.equal("bias length", in.vector(3), out);
  if (in.has(4)) in.equal("residual columns", in.activation(4), out);
  in.require(!op.swiglu || (!in.has(3) && !in.has(4)), "swiglu takes neither bias nor residual");
  in.require(!op.last_row || !in.has(4), "last_row takes no residual");
}

void check_heads(const Operands& in, const GraphOp& op) {
  in.require(op.heads > 0 && op.heads <= kMaxHeads, "{} heads", op.heads);
  in.require(op.head_dim > 0 && op.head_dim <= kMaxHeadDim && op.head_dim % 4 == 0,
             "head_dim is {}", op.head_dim);
}

void check_group(const Operands& in, const GraphOp& op) {
  check_heads(in, op);
  in.require(op.kv_heads > 0 && op.heads % op.kv_heads == 0, "{} heads share {} kv heads", op.heads,
             op.kv_heads);
}

void check_table(const Operands& in, const GraphOp& op, uint32_t context) {
  const GraphTensor& table = in.input(1, Role::weight, DType::f32, 2);
  in.require(op.rotary_dim > 0 && op.rotary_dim <= op.head_dim && op.rotary_dim % 2 == 0,
             "rotary_dim is {}", op.rotary_dim);
  in.equal("table columns", table.shape[1], op.rotary_dim);
  in.equal("table rows", table.shape[0],
           kRopeFineRows + (context + kRopeFineRows - 1) / kRopeFineRows);
}

void check_cache(const Operands& in, const GraphOp& op, const GraphTensor& cache) {
  in.equal("kv heads of the cache", cache.shape[0], op.kv_heads);
  in.equal("head_dim of the cache", cache.shape[2], op.head_dim);
}

void check_caches(const Operands& in, const GraphOp& op, const GraphTensor& keys,
                  const GraphTensor& values) {
  check_cache(in, op, keys);
  check_cache(in, op, values);
  in.require(keys.dtype == values.dtype, "the keys' cache is {}, the values' {}",
             kDTypeNames[static_cast<size_t>(keys.dtype)],
             kDTypeNames[static_cast<size_t>(values.dtype)]);
}

void check_attention(const Operands& in, const GraphOp& op, uint32_t context) {
  in.count(3, 4, 1);
  check_group(in, op);
  in.require(op.scale > 0, "scale is {}", op.scale);
  in.equal("q columns", in.activation(0), uint64_t{op.heads} * op.head_dim);
  in.equal("columns", in.result(0), uint64_t{op.heads} * op.head_dim);
  check_caches(in, op, in.cache_input(1), in.cache_input(2));
  in.require(op.softcap >= 0 && std::isfinite(2 * op.softcap), "softcap is {}", op.softcap);
  in.require(op.softcap == 0 || std::isfinite(op.scale / op.softcap), "softcap is {}", op.softcap);
  if (!in.has(3)) return;
  const GraphTensor& mask = in.input(3, Role::weight, DType::f32, 2);
  in.equal("mask rows", mask.shape[0], context);
  in.equal("mask columns", mask.shape[1], context);
}

void check_rope(const Operands& in, const GraphOp& op, uint32_t context) {
  const bool fused = op.kind == OpKind::rope_update_cache;
  in.count(2, fused ? 3 : 2, fused ? 3 : 1);
  fused ? check_group(in, op) : check_heads(in, op);
  check_table(in, op, context);
  const uint64_t heads = fused ? op.heads + 2 * uint64_t{op.kv_heads} : op.heads;
  in.equal("input columns", in.activation(0), heads * op.head_dim);
  in.equal("columns", in.result(0), uint64_t{op.heads} * op.head_dim);
  if (!fused) return;
  check_caches(in, op, in.cache_output(1), in.cache_output(2));
  if (!in.has(2)) return;
  in.equal("norm length", in.vector(2), 2 * op.head_dim);
  in.require(op.eps > 0, "eps is {}", op.eps);
}

void check_rms_norm(const Operands& in, const GraphOp& op) {
  in.count(2, 2, 1);
  const uint32_t columns = in.activation(0);
  const uint32_t heads = op.heads == 0 ? 1 : op.heads;
  in.require(columns % heads == 0, "{} columns are no {} equal slices", columns, heads);
  in.equal("weight length", in.vector(1), columns / heads);
  in.equal("columns", in.result(0), columns);
  in.require(op.eps > 0, "eps is {}", op.eps);
}

// b of a function of two, where it is a tensor.
void check_second(const Operands& in, const Graph& graph, const GraphOp& op, uint32_t columns) {
  if (graph.tensor(op.input(1)).role == Role::weight) {
    const uint32_t length = in.vector(1);
    in.require(length > 0 && columns % length == 0,
               "a weight of {} does not repeat over {} columns", length, columns);
  } else {
    const uint32_t length = in.activation(1);
    in.require(length == columns || length == 1, "second columns is {}, {} or 1 wanted", length,
               columns);
  }
  if (op.function == Function::add || op.function == Function::sub) {
    in.require(op.alpha != 0, "alpha is 0, which leaves the second operand out");
  } else {
    in.require(op.alpha == 0 || op.alpha == 1, "alpha is {}; only add and sub have one beside b",
               op.alpha);
  }
}

void check_elementwise(const Operands& in, const Graph& graph, const GraphOp& op) {
  in.count(1, 2, 1);
  in.require(std::isfinite(op.alpha), "alpha is {}", op.alpha);
  const uint32_t columns = in.activation(0);
  in.equal("columns", in.result(0), columns);
  if (!is_binary(op.function)) {
    in.require(!in.has(1) && op.alpha == 0, "{} takes one operand",
               kFunctionNames[static_cast<size_t>(op.function)]);
  } else if (in.has(1)) {
    check_second(in, graph, op, columns);
  }
}

void check_cat(const Operands& in, const GraphOp& op) {
  in.count(2, 4, 1);
  uint64_t columns = 0;
  for (size_t i = 0; i < op.inputs.size(); ++i)
    columns += in.activation(i);
  in.equal("columns", in.result(0), columns);
}

// slice, permute and softmax.
void check_columns(const Operands& in, const GraphOp& op) {
  in.count(1, 1, 1);
  const uint32_t columns = in.activation(0);
  const uint32_t out = in.result(0);
  if (op.kind == OpKind::slice) {
    in.require(uint64_t{op.offset} + out <= columns, "columns {} to {} of {} are asked for",
               op.offset, uint64_t{op.offset} + out, columns);
    return;
  }
  in.equal("columns", out, columns);
  if (op.kind == OpKind::permute) {
    in.require(op.heads > 0 && op.head_dim > 0, "{} heads of {} columns", op.heads, op.head_dim);
    in.equal("columns", columns, uint64_t{op.heads} * op.head_dim);
  } else {
    in.require(op.scale > 0 && std::isfinite(op.scale), "scale is {}", op.scale);
  }
}

void check_op(const Graph& graph, const GraphOp& op) {
  const Operands in(graph, op);
  const bool has_function = op.function != Function::none;
  const bool opens_gate = op.swiglu && op.function == Function::gelu_tanh && is_linear(op.kind);
  in.require(opens_gate || has_function == (op.kind == OpKind::elementwise), "it has {} function",
             has_function ? "a" : "no");
  switch (op.kind) {
    case OpKind::embedding_q4gsw:
    case OpKind::embedding_q8gsw: {
      in.count(2, 2, 1);
      in.input(0, Role::input, DType::u32, 1);
      const GraphTensor& weight = in.input(1, Role::weight, weight_dtype(op.kind), 2);
      in.equal("weight rows", weight.shape[0], graph.vocab_size);
      in.equal("columns", in.result(0), weight.shape[1]);
      break;
    }
    case OpKind::rms_norm:
      check_rms_norm(in, op);
      break;
    case OpKind::linear_q4gsw:
    case OpKind::linear_dq8ca_q4gsw:
    case OpKind::linear_q8gsw:
      check_linear(in, op);
      break;
    case OpKind::rope:
    case OpKind::rope_update_cache:
      check_rope(in, op, graph.context_length);
      break;
    case OpKind::update_cache: {
      in.count(1, 1, 1);
      const GraphTensor& cache = in.cache_output(0);
      in.equal("columns", in.activation(0), uint64_t{cache.shape[0]} * cache.shape[2]);
      break;
    }
    case OpKind::sdpa_with_kv_cache:
      check_attention(in, op, graph.context_length);
      break;
    case OpKind::swiglu:
    case OpKind::add:
      in.count(2, 2, 1);
      in.equal("first columns", in.activation(0), in.result(0));
      in.equal("second columns", in.activation(1), in.result(0));
      break;
    case OpKind::sample:
      in.count(1, 1, 0);
      in.equal("columns", in.activation(0), graph.vocab_size);
      break;
    case OpKind::elementwise:
      check_elementwise(in, graph, op);
      break;
    case OpKind::slice:
    case OpKind::permute:
    case OpKind::softmax:
      check_columns(in, op);
      break;
    case OpKind::cat:
      check_cat(in, op);
      break;
  }
}

void check_order(const Graph& graph, const GraphOp& op, std::vector<bool>* written) {
  const auto exists = [&](int32_t index) {
    return index >= 0 && static_cast<size_t>(index) < graph.tensors.size();
  };
  for (const int32_t index : op.inputs) {
    if (index == kAbsent) continue;
    if (!exists(index)) throw Malformed{fmt::format("op {} reads no tensor {}", op.name, index)};
    if (graph.tensor(index).role == Role::activation && !(*written)[static_cast<size_t>(index)]) {
      throw Malformed{
          fmt::format("op {} reads {} before it is written", op.name, graph.tensor(index).name)};
    }
  }
  for (const int32_t index : op.outputs) {
    if (!exists(index)) throw Malformed{fmt::format("op {} writes no tensor {}", op.name, index)};
    if (graph.tensor(index).role == Role::activation && (*written)[static_cast<size_t>(index)]) {
      throw Malformed{fmt::format("op {} writes {} again", op.name, graph.tensor(index).name)};
    }
    (*written)[static_cast<size_t>(index)] = true;
  }
}

// After a linear of the last row alone there is one row: what comes then works on it and on nothing
// from before.
void check_rows(const Graph& graph, const GraphOp& op, std::vector<bool>* one_row, bool* any) {
  if (*any) {
    if (!is_row_op(op.kind)) {
      throw Malformed{fmt::format("op {} ({}) comes after a linear of the last row", op.name,
                                  kOpKindNames[static_cast<size_t>(op.kind)])};
    }
    for (const int32_t index : op.inputs) {
      if (index == kAbsent || graph.tensor(index).role != Role::activation) continue;
      if ((*one_row)[static_cast<size_t>(index)]) continue;
      throw Malformed{fmt::format("op {} reads {} after a linear of the last row", op.name,
                                  graph.tensor(index).name)};
    }
  }
  *any = *any || op.last_row;
  if (!*any) return;
  for (const int32_t index : op.outputs)
    (*one_row)[static_cast<size_t>(index)] = true;
}

void check_tensor(const Graph& graph, const GraphTensor& tensor) {
  const bool is_weight = tensor.role == Role::weight;
  if (is_weight != (tensor.constant != nullptr)) {
    throw Malformed{fmt::format("tensor {} {} values", tensor.name, is_weight ? "has no" : "has")};
  }
  if (tensor.role != Role::state || tensor.shape.size() != 3) return;
  if (tensor.shape[1] != graph.context_length) {
    throw Malformed{fmt::format("state {} has room for {} positions, the model has {}", tensor.name,
                                tensor.shape[1], graph.context_length)};
  }
  if (tensor.shape[2] % 4 != 0 || tensor.shape[2] > kMaxHeadDim) {
    throw Malformed{fmt::format("state {} has heads of {}; they can be multiples of 4 up to {}",
                                tensor.name, tensor.shape[2], kMaxHeadDim)};
  }
}

}  // namespace

std::string verify(const Graph& graph) {
  try {
    std::vector<bool> written(graph.tensors.size());
    std::vector<bool> one_row(graph.tensors.size());
    bool any_one_row = false;
    for (const GraphTensor& tensor : graph.tensors)
      check_tensor(graph, tensor);
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      check_order(graph, graph.ops[i], &written);
      check_op(graph, graph.ops[i]);
      check_rows(graph, graph.ops[i], &one_row, &any_one_row);
      if ((graph.ops[i].kind == OpKind::sample) != (i + 1 == graph.ops.size())) {
        throw Malformed{"the graph does not end in its one sample op"};
      }
    }
    if (graph.ops.empty()) throw Malformed{"the graph has no ops"};
  } catch (const Malformed& malformed) {
    return malformed.sentence;
  }
  return {};
}

}  // namespace nbl::compiler
