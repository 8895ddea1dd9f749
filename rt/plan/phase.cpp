#include "rt/plan/phase.h"

#include "rt/base/checked.h"
#include "rt/plan/place.h"
#include "spirv/step_state.h"

namespace nbl {
namespace {

// Rows that a window of a quantized weight begins at, so that the scales of each start at a
// multiple of 256 bytes too, whatever the layout.
constexpr uint32_t kWindowRows = 128;

}  // namespace

PhaseBuilder::PhaseBuilder(const Model& model, const Plan& plan, uint32_t tokens,
                           std::span<Dispatch> dispatches, std::span<Value> values)
    : model_(model),
      plan_(plan),
      tokens_(tokens),
      dispatches_(dispatches),
      values_(values),
      rows_(tokens),
      value_count_(model.tensor_count()) {}

Status PhaseBuilder::build(PhaseKind kind, Error* error) {
  if (kind == PhaseKind::window) return build_window(error);
  if (kind == PhaseKind::slide) return build_slide(error);
  for (uint32_t i = 0; i < model_.op_count(); ++i) {
    op_index_ = i;
    const Op op = model_.op(i);
    if (op.kind == OpKind::rope_update_cache && joins_sdpa(i, op)) {
      NBL_TRY(add_sdpa_token(op, model_.op(++i), error));
    } else {
      NBL_TRY(add_op(i, op, error));
    }
  }
  return {};
}

Status PhaseBuilder::add_op(uint32_t index, const Op& op, Error* error) {
  op_index_ = index;
  switch (op.kind) {
    case OpKind::embedding_q4gsw:
    case OpKind::embedding_q8gsw:
      return add_embedding(op, error);
    case OpKind::rms_norm: {
      const uint32_t x = static_cast<uint32_t>(op.inputs[0]);
      const uint32_t out = define(op.outputs[0], rows_, model_.tensor(x).columns());
      return add_rms_norm(x, op.inputs[1], op.eps, max_of(op.heads, 1u), out, error);
    }
    case OpKind::linear_q4gsw:
    case OpKind::linear_dq8ca_q4gsw:
    case OpKind::linear_q8gsw:
      return add_linear(op, error);
    case OpKind::rope:
      return add_rope(op, error);
    case OpKind::update_cache:
      return add_cache(op, error);
    case OpKind::rope_update_cache:
      return add_rope_cache(op, error);
    case OpKind::sdpa_with_kv_cache:
      return add_sdpa(op, error);
    case OpKind::swiglu:
    case OpKind::add:
    case OpKind::elementwise:
      return add_elementwise(op, error);
    case OpKind::slice:
    case OpKind::cat:
    case OpKind::permute:
      return add_copy(op, error);
    case OpKind::softmax:
      return add_softmax(op, error);
    case OpKind::sample:
      return add_sample(op, error);
  }
  return {};
}

// The next dispatch, its call set and the step buffer bound first, as every kernel wants it.
Dispatch* PhaseBuilder::open(const KernelCall& call) {
  Dispatch* dispatch =
      dispatch_count_ < dispatches_.size() ? &dispatches_[dispatch_count_] : &spare_;
  *dispatch = {};
  dispatch->call = call;
  dispatch->op = op_index_;
  return dispatch;
}

void PhaseBuilder::bind(Dispatch* dispatch, const Binding& binding) {
  dispatch->bindings[dispatch->binding_count++] = binding;
  if (binding.operand == Operand::value && binding.id < values_.size()) {
    Value& value = values_[binding.id];
    if (binding.write && value.first_use > dispatch_count_) value.first_use = dispatch_count_;
    if (value.last_use < dispatch_count_) value.last_use = dispatch_count_;
  }
  if (binding.operand == Operand::segment) weight_bytes_ += binding.bytes;
  if (binding.operand == Operand::state) return;
  dispatch->bytes += binding.bytes;
  // Most steps have no biases and no penalties.
  if (binding.operand == Operand::step) dispatch->bytes -= 4 * (STEP_TOKENS - STEP_BIAS);
}

void PhaseBuilder::close(Dispatch*) {
  ++dispatch_count_;
}

// Gives a tensor of the model its value for this phase.
uint32_t PhaseBuilder::define(int32_t tensor, uint32_t rows, uint32_t columns) {
  const uint32_t id = static_cast<uint32_t>(tensor);
  if (id < values_.size()) {
    values_[id] = {tensor, ~0u, 0, uint64_t{rows} * row_stride(columns) * 4, 0, 0};
  }
  return id;
}

uint32_t PhaseBuilder::scratch(uint64_t bytes) {
  const uint32_t id = value_count_++;
  if (id < values_.size()) values_[id] = {-1, ~0u, 0, bytes, 0, 0};
  return id;
}

Binding PhaseBuilder::step(bool write) const {
  return {Operand::step, true, write, 0, 0, 0, plan_.step.bytes};
}

Binding PhaseBuilder::value(uint32_t id, bool write) const {
  const uint64_t bytes = id < values_.size() ? values_[id].bytes : 0;
  return {Operand::value, !write, write, id, 0, 0, bytes};
}

Binding PhaseBuilder::whole_weight(int32_t tensor) const {
  const Tensor t = model_.tensor(static_cast<uint32_t>(tensor));
  const uint32_t segment = static_cast<uint32_t>(t.data);
  return {Operand::segment, true, false, segment, 0, 0, model_.segment(segment).size};
}

Binding PhaseBuilder::cache(int32_t tensor, bool write) const {
  const uint32_t id = static_cast<uint32_t>(tensor);
  return {Operand::state,
          !write,
          write,
          id,
          0,
          0,
          state_bytes(model_.tensor(id), plan_.options.context)};
}

// The rows of a mask that the planned context can reach.
Binding PhaseBuilder::mask_rows(int32_t tensor) const {
  const uint32_t segment = static_cast<uint32_t>(model_.tensor(static_cast<uint32_t>(tensor)).data);
  const uint64_t bytes = uint64_t{plan_.options.context} * model_.context_length() * 4;
  return {Operand::segment, true, false, segment, 0, 0, bytes};
}

// The window from `row` on: what the device's binding range, the parts that the segments are cut
// into, and the caller's limit leave.
Status PhaseBuilder::next_window(const Tensor& weight, uint32_t row, uint32_t most_rows,
                                 Window* window, Error* error) {
  const Q4Format format = q4_format(weight);
  const uint32_t columns = weight.columns();
  const uint64_t data_step = format.data_bytes(kWindowRows, columns);
  const uint64_t scale_step = format.scale_bytes(kWindowRows, columns);
  const uint32_t rows = format.rows(weight.shape[0]);
  const uint64_t range = plan_.caps.max_storage_range_bytes;
  window->image = in_image(model_, plan_, static_cast<uint32_t>(weight.data));
  // Scales take no more bytes than the values that they belong to.
  const uint64_t step = window->image ? scale_step : data_step;
  const uint64_t rest = window->image ? format.scale_bytes(rows - row, columns)
                                      : format.data_bytes(rows - row, columns);
  uint64_t most =
      rest <= range ? most_rows : min_of<uint64_t>(most_rows, range / step * kWindowRows);
  const uint32_t part_rows = rows_in_part(weight, plan_, window->image);
  if (part_rows != 0) most = min_of<uint64_t>(most, part_rows - row % part_rows);
  uint32_t count = rows - row;
  if (count > most) {
    count = static_cast<uint32_t>(most) / kWindowRows * kWindowRows;
    if (count == 0) {
      return fail(error, Code::device_limit, op_index_, weight.name, data_step, range);
    }
  }
  window->begin = row;
  window->count = count;
  const uint64_t steps = row / kWindowRows;
  window->data = {Operand::segment,
                  true,
                  false,
                  static_cast<uint32_t>(weight.data),
                  0,
                  steps * data_step,
                  format.data_bytes(count, columns)};
  window->scales = {Operand::segment,
                    true,
                    false,
                    static_cast<uint32_t>(weight.scales),
                    0,
                    steps * scale_step,
                    format.scale_bytes(count, columns)};
  return {};
}

// Rows of a linear that the device gets through within the limit for one dispatch, by its
// estimated speed.
uint32_t PhaseBuilder::rows_within_time(const Tensor& weight, uint32_t tokens) const {
  const Caps& caps = plan_.caps;
  const Q4Format format = q4_format(weight);
  const uint64_t columns = format.columns(weight.columns());
  const uint64_t row_bytes = columns / (format.eight_bits() ? 1 : 2) +
                             columns / format.group_size * (format.f32_scales ? 4 : 2);
  const uint64_t row_flops = 2 * columns * tokens;
  const uint64_t bytes = uint64_t{caps.dispatch_limit_us} * caps.gigabytes_per_s * 1000;
  const uint64_t flops = uint64_t{caps.dispatch_limit_us} * caps.gigaflops * 1000;
  const uint64_t rows = min_of(bytes / row_bytes, flops / max_of<uint64_t>(1, row_flops));
  return static_cast<uint32_t>(min_of<uint64_t>(max_of<uint64_t>(rows, kWindowRows), kMaxDim));
}

}  // namespace nbl
