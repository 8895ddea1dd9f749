// Per-kind operand rules of the graph. See rt/model/model.h for what each operand is.
#include "rt/base/checked.h"
#include "rt/model/check.h"

namespace nbl {
namespace {

constexpr uint32_t kMaxHeads = 1024;

// Reads the operands of one op and remembers the first thing that is wrong with them.
class Operands {
 public:
  Operands(const Model& model, const Op& op, uint32_t index, Error* error)
      : model_(model), op_(op), index_(index), error_(error) {}

  const Status& status() const { return status_; }

  void count(uint32_t inputs_least, uint32_t inputs_most, uint32_t outputs) {
    require(op_.input_count >= inputs_least, op_.input_count, inputs_least);
    require(op_.input_count <= inputs_most, op_.input_count, inputs_most);
    require(op_.output_count == outputs, op_.output_count, outputs);
  }

  bool has(uint32_t slot) const { return op_.inputs[slot] >= 0; }

  Tensor input(uint32_t slot, Role role, DType dtype, uint8_t rank) {
    return operand(op_.inputs[slot], role, dtype, rank);
  }
  Tensor output(uint32_t slot, Role role, DType dtype, uint8_t rank) {
    return operand(op_.outputs[slot], role, dtype, rank);
  }
  uint32_t activation(uint32_t slot) {
    return input(slot, Role::activation, DType::f32, 2).columns();
  }
  uint32_t result(uint32_t slot) { return output(slot, Role::activation, DType::f32, 2).columns(); }
  // A KV cache; check_tensors() has seen to its type and rank.
  Tensor cache_input(uint32_t slot) { return cache(op_.inputs[slot]); }
  Tensor cache_output(uint32_t slot) { return cache(op_.outputs[slot]); }
  // The length of an f32 vector.
  uint32_t vector(uint32_t slot) { return input(slot, Role::weight, DType::f32, 1).columns(); }

  void require(bool holds, uint64_t value, uint64_t limit, Code code = Code::bad_op) {
    if (!holds && status_.ok()) status_ = fail(error_, code, index_, op_.name, value, limit);
  }
  void equal(uint64_t value, uint64_t expected) { require(value == expected, value, expected); }

 private:
  Tensor operand(int32_t tensor, Role role, DType dtype, uint8_t rank) {
    Tensor nothing{};
    nothing.rank = 1;
    if (tensor < 0) {
      require(false, 0, 1);
      return nothing;
    }
    const Tensor t = model_.tensor(static_cast<uint32_t>(tensor));
    require(t.role == role && t.dtype == dtype && t.rank == rank, t.rank, rank);
    return status_.ok() ? t : nothing;
  }

  Tensor cache(int32_t tensor) {
    const bool there = tensor >= 0;
    const DType dtype = there ? model_.tensor(static_cast<uint32_t>(tensor)).dtype : DType::f16;
    return operand(tensor, Role::state, dtype, 3);
  }

  const Model& model_;
  const Op& op_;
  uint32_t index_;
  Error* error_;
  Status status_;
};

bool positive(float value) {
  return value > 0 && value < 3.0e38f;
}

bool finite(float value) {
  return value > -3.0e38f && value < 3.0e38f;
}

void check_heads(Operands* in, const Op& op) {
  in->require(op.heads > 0 && op.heads <= kMaxHeads, op.heads, kMaxHeads);
  in->require(op.head_dim > 0 && op.head_dim <= kMaxHeadDim && op.head_dim % 4 == 0, op.head_dim,
              kMaxHeadDim, Code::bad_head_dim);
}

void check_group(Operands* in, const Op& op) {
  check_heads(in, op);
  in->require(op.kv_heads > 0 && op.kv_heads <= op.heads, op.kv_heads, op.heads);
  in->require(op.kv_heads != 0 && op.heads % op.kv_heads == 0, op.heads, op.kv_heads);
}

void check_cache(Operands* in, const Op& op, const Tensor& cache) {
  in->equal(cache.shape[0], op.kv_heads);
  in->equal(cache.shape[2], op.head_dim);
}

// Both caches of an attention; the kernels know one type.
void check_caches(Operands* in, const Op& op, const Tensor& keys, const Tensor& values) {
  check_cache(in, op, keys);
  check_cache(in, op, values);
  in->equal(static_cast<uint64_t>(values.dtype), static_cast<uint64_t>(keys.dtype));
}

void check_attention(Operands* in, const Op& op, uint32_t context) {
  in->count(3, 4, 1);
  check_group(in, op);
  in->require(positive(op.scale), 0, 1);
  in->equal(in->activation(0), uint64_t{op.heads} * op.head_dim);
  in->equal(in->result(0), uint64_t{op.heads} * op.head_dim);
  check_caches(in, op, in->cache_input(1), in->cache_input(2));
  // Scores are divided by the cap, and the cap is multiplied by log2(e).
  in->require(op.softcap == 0 || (positive(op.softcap) && positive(op.scale / op.softcap) &&
                                  positive(2 * op.softcap)),
              0, 1);
  if (in->has(3)) {
    const Tensor mask = in->input(3, Role::weight, DType::f32, 2);
    in->equal(mask.shape[0], context);
    in->equal(mask.shape[1], context);
  }
}

void check_table(Operands* in, const Op& op, uint32_t context) {
  const Tensor table = in->input(1, Role::weight, DType::f32, 2);
  in->require(op.rotary_dim > 0 && op.rotary_dim <= op.head_dim, op.rotary_dim, op.head_dim);
  in->require(op.rotary_dim % 2 == 0, op.rotary_dim, 2);
  in->equal(table.columns(), op.rotary_dim);
  in->equal(table.shape[0], kRopeFineRows + div_up(context, kRopeFineRows));
}

void check_linear(Operands* in, const Op& op) {
  in->count(2, 5, 1);
  const uint32_t columns = in->activation(0);
  const Tensor weight = in->input(1, Role::weight, weight_dtype(op.kind), 2);
  const uint32_t out = in->result(0);
  // Rows in the order of the wire are for gathering only.
  in->require(is_tiled(weight.layout), static_cast<uint32_t>(weight.layout),
              static_cast<uint32_t>(Layout::q4_t16k8));
  in->equal(columns, weight.columns());
  in->equal(weight.shape[0], op.swiglu ? 2 * uint64_t{row_stride(out)} : out);
  if (in->has(2)) {
    in->equal(in->vector(2), columns);
    in->require(positive(op.eps), 0, 1);
  }
  if (in->has(3)) {
    in->equal(in->vector(3), out);
    in->require(!op.swiglu, 1, 0);
  }
  if (in->has(4)) {
    in->equal(in->activation(4), out);
    in->require(!op.swiglu && !op.last_row, 1, 0);
  }
}

// What b of an elementwise op may be beside [T, C]: [T, 1], or a weight that repeats.
void check_second(Operands* in, const Op& op, const Model& model, uint32_t columns) {
  const Tensor b = model.tensor(static_cast<uint32_t>(op.inputs[1]));
  if (b.role == Role::weight) {
    const uint32_t length = in->vector(1);
    // After an earlier fault the length is 0.
    in->require(length > 0 && length <= columns && columns % length == 0, length, columns);
  } else {
    const uint32_t length = in->activation(1);
    in->require(length == columns || length == 1, length, columns);
  }
  const bool scaled = op.function == Function::add || op.function == Function::sub;
  in->require(scaled ? op.alpha != 0 : op.alpha == 0 || op.alpha == 1, 0, 1);
}

void check_elementwise(Operands* in, const Op& op, const Model& model) {
  in->count(1, 2, 1);
  in->require(finite(op.alpha), 0, 1);
  const uint32_t columns = in->activation(0);
  in->equal(in->result(0), columns);
  if (!is_binary(op.function)) {
    in->require(!in->has(1) && op.alpha == 0, 1, 0);
  } else if (in->has(1)) {
    check_second(in, op, model, columns);
  }
}

void check_cat(Operands* in, const Op& op) {
  in->count(2, 4, 1);
  uint64_t columns = 0;
  for (uint32_t i = 0; i < op.input_count && i < 4; ++i)
    columns += in->activation(i);
  in->equal(columns, in->result(0));
}

void check_rms_norm(Operands* in, const Op& op) {
  in->count(2, 2, 1);
  const uint32_t columns = in->activation(0);
  const uint32_t heads = max_of(op.heads, 1u);
  in->require(columns % heads == 0, columns, heads);
  in->equal(in->vector(1), columns / heads);
  in->equal(in->result(0), columns);
  in->require(positive(op.eps), 0, 1);
}

void check_by_kind(Operands* in, const Op& op, const Model& model) {
  const bool has_function = op.function != Function::none;
  const bool opens_gate = op.swiglu && op.function == Function::gelu_tanh && is_linear(op.kind);
  in->require(opens_gate || has_function == (op.kind == OpKind::elementwise), has_function,
              !has_function);
  switch (op.kind) {
    case OpKind::embedding_q4gsw:
    case OpKind::embedding_q8gsw: {
      in->count(2, 2, 1);
      in->input(0, Role::input, DType::u32, 1);
      const Tensor weight = in->input(1, Role::weight, weight_dtype(op.kind), 2);
      in->equal(weight.shape[0], model.vocab_size());
      in->equal(in->result(0), weight.columns());
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
      in->count(2, 2, 1);
      check_heads(in, op);
      check_table(in, op, model.context_length());
      in->equal(in->activation(0), uint64_t{op.heads} * op.head_dim);
      in->equal(in->result(0), uint64_t{op.heads} * op.head_dim);
      break;
    case OpKind::update_cache: {
      in->count(1, 1, 1);
      const Tensor cache = in->cache_output(0);
      in->equal(in->activation(0), uint64_t{cache.shape[0]} * cache.shape[2]);
      break;
    }
    case OpKind::rope_update_cache: {
      in->count(2, 3, 3);
      check_group(in, op);
      check_table(in, op, model.context_length());
      const uint64_t heads = uint64_t{op.heads} + 2 * uint64_t{op.kv_heads};
      in->equal(in->activation(0), heads * op.head_dim);
      in->equal(in->result(0), uint64_t{op.heads} * op.head_dim);
      check_caches(in, op, in->cache_output(1), in->cache_output(2));
      if (in->has(2)) {
        in->equal(in->vector(2), 2 * op.head_dim);
        in->require(positive(op.eps), 0, 1);
      }
      break;
    }
    case OpKind::sdpa_with_kv_cache:
      check_attention(in, op, model.context_length());
      break;
    case OpKind::swiglu:
    case OpKind::add:
      in->count(2, 2, 1);
      in->equal(in->activation(0), in->result(0));
      in->equal(in->activation(1), in->result(0));
      break;
    case OpKind::sample:
      in->count(1, 1, 0);
      in->equal(in->activation(0), model.vocab_size());
      break;
    case OpKind::elementwise:
      check_elementwise(in, op, model);
      break;
    case OpKind::slice: {
      in->count(1, 1, 1);
      const uint64_t end = uint64_t{op.offset} + in->result(0);
      const uint32_t columns = in->activation(0);
      in->require(end <= columns, end, columns);
      break;
    }
    case OpKind::cat:
      check_cat(in, op);
      break;
    case OpKind::permute:
      in->count(1, 1, 1);
      in->require(op.heads > 0 && op.head_dim > 0, 0, 1);
      in->equal(uint64_t{op.heads} * op.head_dim, in->activation(0));
      in->equal(in->result(0), in->activation(0));
      break;
    case OpKind::softmax:
      in->count(1, 1, 1);
      in->equal(in->result(0), in->activation(0));
      in->require(positive(op.scale), 0, 1);
      break;
  }
}

// Activations are numbered in the order in which ops define them, so "defined before use" is one
// comparison. *defined is one past the last activation defined so far.
Status check_order(const Model& model, const Op& op, uint32_t where, uint32_t* defined,
                   uint32_t* activations, Error* error) {
  for (uint32_t i = 0; i < op.input_count; ++i) {
    if (op.inputs[i] < 0) continue;
    const uint32_t index = static_cast<uint32_t>(op.inputs[i]);
    if (model.tensor(index).role == Role::activation && index >= *defined) {
      return fail(error, Code::bad_op, where, op.name, index, *defined);
    }
  }
  for (uint32_t i = 0; i < op.output_count; ++i) {
    if (op.outputs[i] < 0) return fail(error, Code::bad_op, where, op.name, 0, 1);
    const uint32_t index = static_cast<uint32_t>(op.outputs[i]);
    if (model.tensor(index).role != Role::activation) continue;
    if (index < *defined) return fail(error, Code::bad_op, where, op.name, index, *defined);
    *defined = index + 1;
    *activations += 1;
  }
  return {};
}

// After a last_row linear there is one row, and every activation from its result on has it.
// *one_row_from is that result; 0 before, as no tensor 0 is the result of a linear.
Status check_rows(const Model& model, const Op& op, uint32_t where, uint32_t* one_row_from,
                  Error* error) {
  if (*one_row_from != 0) {
    if (!is_row_op(op.kind)) return fail(error, Code::bad_op, where, op.name, 1, 0);
    for (uint32_t i = 0; i < op.input_count; ++i) {
      if (op.inputs[i] < 0) continue;
      const uint32_t index = static_cast<uint32_t>(op.inputs[i]);
      if (model.tensor(index).role == Role::activation && index < *one_row_from) {
        return fail(error, Code::bad_op, where, op.name, index, *one_row_from);
      }
    }
  }
  if (op.last_row && op.output_count > 0) *one_row_from = static_cast<uint32_t>(op.outputs[0]);
  return {};
}

}  // namespace

bool is_row_op(OpKind kind) {
  switch (kind) {
    case OpKind::rms_norm:
    case OpKind::swiglu:
    case OpKind::add:
    case OpKind::elementwise:
    case OpKind::slice:
    case OpKind::cat:
    case OpKind::permute:
    case OpKind::softmax:
    case OpKind::sample:
      return true;
    default:
      return false;
  }
}

Status check_ops(const Model& model, Error* error) {
  uint32_t defined = 0;
  uint32_t one_row_from = 0;
  uint32_t written = 0;
  const uint32_t count = model.op_count();
  for (uint32_t i = 0; i < count; ++i) {
    const Op op = model.op(i);
    Operands operands(model, op, i, error);
    check_by_kind(&operands, op, model);
    NBL_TRY(operands.status());
    NBL_TRY(check_order(model, op, i, &defined, &written, error));
    NBL_TRY(check_rows(model, op, i, &one_row_from, error));
    if ((op.kind == OpKind::sample) != (i + 1 == count)) {
      return fail(error, Code::bad_op, i, op.name, i, count);
    }
  }
  if (count == 0) return fail(error, Code::bad_header, 0, "op count", 0, kMaxOps);
  uint32_t activations = 0;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    activations += model.tensor(i).role == Role::activation ? 1 : 0;
  }
  if (activations != written) {
    return fail(error, Code::bad_header, 0, "activation count", activations, written);
  }
  return {};
}

}  // namespace nbl
