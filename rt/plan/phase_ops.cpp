// One function an op: its kernels' contracts and the buffers they name.
#include "rt/kernels/embedding.h"
#include "rt/kernels/linear.h"
#include "rt/kernels/rms_norm.h"
#include "rt/kernels/rope.h"
#include "rt/kernels/rope_update_cache.h"
#include "rt/kernels/sample.h"
#include "rt/kernels/sdpa.h"
#include "rt/kernels/sdpa_token.h"
#include "rt/kernels/update_cache.h"
#include "rt/model/cache.h"
#include "rt/plan/phase.h"
#include "rt/plan/place.h"

namespace nbl {
namespace {

uint32_t id_of(int32_t tensor) {
  return static_cast<uint32_t>(tensor);
}

// A window as wide as the context hides nothing.
uint32_t window_of(const Op& sdpa, uint32_t context) {
  return sdpa.window < context ? sdpa.window : 0;
}

SdpaTokenArgs sdpa_token_args(const Op& rope, const Op& sdpa, DType cache, uint32_t context) {
  return {.heads = rope.heads,
          .kv_heads = rope.kv_heads,
          .head_dim = rope.head_dim,
          .rotary_dim = rope.rotary_dim,
          .half = rope.rope_half,
          .context = context,
          .scale = sdpa.scale,
          .cache = cache,
          .window = window_of(sdpa, context),
          .softcap = sdpa.softcap};
}

}  // namespace

Status PhaseBuilder::add_embedding(const Op& op, Error* error) {
  const Tensor weight = model_.tensor(id_of(op.inputs[1]));
  const Q4Format format = q4_format(weight);
  const uint32_t rows = format.rows(weight.shape[0]);
  const uint32_t out = define(op.outputs[0], tokens_, weight.columns());
  for (uint32_t row = 0; row < rows;) {
    Window window{};
    NBL_TRY(next_window(weight, row, rows, &window, error));
    const EmbeddingArgs args{.tokens = tokens_,
                             .rows = weight.shape[0],
                             .columns = weight.columns(),
                             .format = format,
                             .row_begin = window.begin,
                             .row_count = window.count,
                             .texture = window.image};
    KernelCall call;
    NBL_TRY(call_embedding(plan_.caps, args, &call, error));
    Dispatch* dispatch = open(call);
    bind(dispatch, step(false));
    bind(dispatch, window.data);
    bind(dispatch, window.scales);
    bind(dispatch, value(out, true));
    // A gather reads `tokens` rows, not the table that is bound.
    const uint64_t table = window.data.bytes + window.scales.bytes;
    const uint64_t read = table / rows * tokens_;
    dispatch->bytes -= table - read;
    weight_bytes_ -= table - read;
    close(dispatch);
    row += window.count;
  }
  return {};
}

Status PhaseBuilder::add_rms_norm(uint32_t x, int32_t weight, float eps, uint32_t heads,
                                  uint32_t out, Error* error) {
  const RmsNormArgs args{
      .tokens = rows_, .columns = model_.tensor(x).columns(), .eps = eps, .heads = heads};
  KernelCall call;
  NBL_TRY(call_rms_norm(plan_.caps, args, &call, error));
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(x, false));
  bind(dispatch, whole_weight(weight));
  bind(dispatch, value(out, true));
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_linear(const Op& op, Error* error) {
  const Tensor weight = model_.tensor(id_of(op.inputs[1]));
  const bool one_row = tokens_ == 1 || (op.last_row && plan_.options.logits != LogitsMode::all);
  const uint32_t tokens = one_row ? 1 : tokens_;
  const uint32_t out = define(op.outputs[0], tokens, model_.tensor(id_of(op.outputs[0])).columns());
  LinearArgs args{};
  args.tokens = tokens_;
  args.rows = weight.shape[0];
  args.columns = weight.columns();
  args.group_size = weight.group_size;
  args.f32_scales = weight.f32_scales;
  args.norm = op.inputs[2] >= 0;
  args.bias = op.inputs[3] >= 0;
  args.residual = op.inputs[4] >= 0;
  args.swiglu = op.swiglu;
  args.gelu = op.function == Function::gelu_tanh;
  args.eight_bits = weight.dtype == DType::q8;
  args.last_row = one_row && tokens_ > 1;
  args.eps = op.eps;
  if (op.kind == OpKind::linear_dq8ca_q4gsw) return add_linear_dq8ca(op, args, out, error);
  uint32_t x = id_of(op.inputs[0]);
  if (args.norm && !linear_fuses_norm(plan_.caps, args)) {
    const uint32_t normed = scratch(uint64_t{tokens_} * row_stride(weight.columns()) * 4);
    NBL_TRY(add_rms_norm(x, op.inputs[2], op.eps, 1, normed, error));
    x = normed;
    args.norm = false;
  }
  const uint32_t rows = q4_padded_rows(weight.shape[0]);
  const uint32_t most_rows = rows_within_time(weight, tokens);
  for (uint32_t row = 0; row < rows;) {
    Window window{};
    NBL_TRY(next_window(weight, row, most_rows, &window, error));
    args.row_begin = window.begin;
    args.row_count = window.count;
    args.texture = window.image;
    args.few = 0;
    const uint32_t few = linear_few_tokens(plan_.caps, args);
    for (const uint32_t most : {few, tokens_}) {
      if (most == 0) continue;
      args.tokens = most;
      args.few = most == few ? 0 : few;
      KernelCall call;
      NBL_TRY(call_linear(plan_.caps, args, &call, error));
      Dispatch* dispatch = open(call);
      bind(dispatch, step(false));
      bind(dispatch, value(x, false));
      bind(dispatch, window.data);
      bind(dispatch, window.scales);
      bind(dispatch, value(out, true));
      bind(dispatch, args.norm ? whole_weight(op.inputs[2]) : value(x, false));
      bind(dispatch, args.bias ? whole_weight(op.inputs[3]) : value(x, false));
      bind(dispatch, value(args.residual ? id_of(op.inputs[4]) : x, false));
      if (most == few) {
        // A full step does nothing here: its bytes are those of the dispatch for all.
        weight_bytes_ -= window.data.bytes + window.scales.bytes;
        dispatch->bytes = 0;
      }
      close(dispatch);
    }
    row += window.count;
  }
  if (one_row) rows_ = 1;
  return {};
}

Status PhaseBuilder::add_rope(const Op& op, Error* error) {
  const RopeArgs args{.tokens = tokens_,
                      .heads = op.heads,
                      .head_dim = op.head_dim,
                      .rotary_dim = op.rotary_dim,
                      .half = op.rope_half};
  KernelCall call;
  NBL_TRY(call_rope(plan_.caps, args, &call, error));
  const uint32_t out = define(op.outputs[0], tokens_, op.heads * op.head_dim);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(id_of(op.inputs[0]), false));
  bind(dispatch, whole_weight(op.inputs[1]));
  for (uint32_t i = 0; i < 3; ++i)
    bind(dispatch, value(out, true));
  bind(dispatch, value(id_of(op.inputs[0]), false));
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_cache(const Op& op, Error* error) {
  const Tensor state = model_.tensor(id_of(op.outputs[0]));
  const UpdateCacheArgs args{.tokens = tokens_,
                             .kv_heads = state.shape[0],
                             .head_dim = state.shape[2],
                             .context = plan_.options.context,
                             .cache = state.dtype};
  KernelCall call;
  NBL_TRY(call_update_cache(plan_.caps, args, &call, error));
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  for (uint32_t i = 0; i < 2; ++i)
    bind(dispatch, value(id_of(op.inputs[0]), false));
  for (uint32_t i = 0; i < 3; ++i)
    bind(dispatch, cache(op.outputs[0], true));
  bind(dispatch, value(id_of(op.inputs[0]), false));
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_rope_cache(const Op& op, Error* error) {
  const RopeUpdateCacheArgs args{.tokens = tokens_,
                                 .heads = op.heads,
                                 .kv_heads = op.kv_heads,
                                 .head_dim = op.head_dim,
                                 .rotary_dim = op.rotary_dim,
                                 .half = op.rope_half,
                                 .context = plan_.options.context,
                                 .cache = model_.tensor(id_of(op.outputs[1])).dtype,
                                 .norm = op.inputs[2] >= 0,
                                 .eps = op.eps};
  KernelCall call;
  NBL_TRY(call_rope_update_cache(plan_.caps, args, &call, error));
  const uint32_t out = define(op.outputs[0], tokens_, op.heads * op.head_dim);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(id_of(op.inputs[0]), false));
  bind(dispatch, whole_weight(op.inputs[1]));
  bind(dispatch, value(out, true));
  bind(dispatch, cache(op.outputs[1], true));
  bind(dispatch, cache(op.outputs[2], true));
  bind(dispatch, args.norm ? whole_weight(op.inputs[2]) : value(id_of(op.inputs[0]), false));
  close(dispatch);
  return {};
}

// True where op `index`, a rope_update_cache without a norm, and the sdpa after it can be one
// dispatch: one token, and nobody else reads the rotated queries.
bool PhaseBuilder::joins_sdpa(uint32_t index, const Op& rope) const {
  if (tokens_ != 1 || rope.inputs[2] >= 0 || index + 1 >= model_.op_count()) return false;
  const Op sdpa = model_.op(index + 1);
  if (sdpa.kind != OpKind::sdpa_with_kv_cache || sdpa.heads != rope.heads ||
      sdpa.kv_heads != rope.kv_heads || sdpa.head_dim != rope.head_dim || sdpa.inputs[3] >= 0) {
    return false;
  }
  for (uint32_t i = 0; i < 3; ++i) {
    if (sdpa.inputs[i] != rope.outputs[i]) return false;
  }
  for (uint32_t i = index + 2; i < model_.op_count(); ++i) {
    for (const int32_t input : model_.op(i).inputs) {
      if (input == rope.outputs[0]) return false;
    }
  }
  const DType cache = model_.tensor(id_of(rope.outputs[1])).dtype;
  return sdpa_token_fits(plan_.caps, sdpa_token_args(rope, sdpa, cache, plan_.options.context));
}

Status PhaseBuilder::add_sdpa_token(const Op& rope, const Op& sdpa, Error* error) {
  const DType cache_type = model_.tensor(id_of(rope.outputs[1])).dtype;
  const SdpaTokenArgs args = sdpa_token_args(rope, sdpa, cache_type, plan_.options.context);
  KernelCall call;
  NBL_TRY(call_sdpa_token(plan_.caps, args, &call, error));
  const uint32_t out = define(sdpa.outputs[0], tokens_, rope.heads * rope.head_dim);
  const SdpaPartialBytes bytes = sdpa_token_partial_bytes(args);
  const uint32_t sums = scratch(bytes.sums);
  const uint32_t max_sum = scratch(bytes.max_sum);
  Dispatch* dispatch = open(call);
  bind(dispatch, step(true));
  bind(dispatch, value(id_of(rope.inputs[0]), false));
  bind(dispatch, whole_weight(rope.inputs[1]));
  bind(dispatch, cache(rope.outputs[1], true));
  bind(dispatch, cache(rope.outputs[2], true));
  bind(dispatch, value(out, true));
  bind(dispatch, value(sums, true));
  bind(dispatch, value(max_sum, true));
  for (uint32_t i = 3; i < 5; ++i)
    dispatch->bindings[i].read = true;
  dispatch->bytes_per_position =
      uint64_t{rope.kv_heads} * cache_row_bytes(cache_type, rope.head_dim) * 2;
  dispatch->most_positions = args.window == 0 ? args.context : args.window;
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_sdpa(const Op& op, Error* error) {
  const DType cache_type = model_.tensor(id_of(op.inputs[1])).dtype;
  SdpaArgs args{.tokens = tokens_,
                .heads = op.heads,
                .kv_heads = op.kv_heads,
                .head_dim = op.head_dim,
                .context = plan_.options.context,
                .scale = op.scale,
                .cache = cache_type,
                .window = window_of(op, plan_.options.context),
                .softcap = op.softcap,
                .full = op.full && tokens_ > 1,
                .mask_stride = op.inputs[3] >= 0 ? model_.context_length() : 0};
  args.splits = sdpa_splits(plan_.caps, args);
  const uint32_t out = define(op.outputs[0], tokens_, op.heads * op.head_dim);
  uint32_t sums = out;
  uint32_t max_sum = out;
  if (args.splits > 1) {
    const SdpaPartialBytes bytes = sdpa_partial_bytes(args, args.splits);
    sums = scratch(bytes.sums);
    max_sum = scratch(bytes.max_sum);
  }
  KernelCall call;
  NBL_TRY(call_sdpa(plan_.caps, args, &call, error));
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(id_of(op.inputs[0]), false));
  bind(dispatch, cache(op.inputs[1], false));
  bind(dispatch, cache(op.inputs[2], false));
  bind(dispatch, value(sums, true));
  bind(dispatch, value(max_sum, true));
  bind(dispatch, op.inputs[3] >= 0 ? mask_rows(op.inputs[3]) : value(id_of(op.inputs[0]), false));
  dispatch->bytes_per_position =
      uint64_t{op.kv_heads} * cache_row_bytes(cache_type, op.head_dim) * 2;
  dispatch->most_positions = args.window == 0 ? args.context : args.window + tokens_ - 1;
  if (args.mask_stride != 0) {
    // A step reads a row of the mask for each token.
    const uint64_t unread = uint64_t{args.context - tokens_} * args.mask_stride * 4;
    dispatch->bytes -= unread;
    weight_bytes_ -= unread;
  }
  close(dispatch);
  if (args.splits == 1) return {};
  NBL_TRY(call_sdpa_combine(plan_.caps, args, &call, error));
  dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, value(sums, false));
  bind(dispatch, value(max_sum, false));
  bind(dispatch, value(out, true));
  close(dispatch);
  return {};
}

Status PhaseBuilder::add_sample(const Op& op, Error* error) {
  logits_value_ = id_of(op.inputs[0]);
  if (rows_ > 1 && plan_.options.logits != LogitsMode::all) {
    const uint32_t columns = model_.vocab_size();
    const uint32_t last = scratch(uint64_t{row_stride(columns)} * 4);
    NBL_TRY(add_last_row(logits_value_, columns, last, error));
    logits_value_ = last;
    rows_ = 1;
  }
  const bool all_rows = rows_ > 1;
  logits_rows_ = rows_;
  const SampleArgs args{.vocab = model_.vocab_size(), .tokens = tokens_, .all_rows = all_rows};
  KernelCall call;
  NBL_TRY(call_argmax(plan_.caps, args, &call, error));
  const uint32_t partial =
      scratch(argmax_partial_bytes(argmax_slices(plan_.caps, model_.vocab_size())));
  Binding logits = value(logits_value_, true);
  logits.read = true;
  Dispatch* dispatch = open(call);
  bind(dispatch, step(false));
  bind(dispatch, logits);
  bind(dispatch, value(partial, true));
  dispatch->bytes -= argmax_partial_bytes(0);  // most steps change no logit
  close(dispatch);
  NBL_TRY(call_sample(plan_.caps, args, &call, error));
  dispatch = open(call);
  bind(dispatch, step(true));
  bind(dispatch, logits);
  bind(dispatch, value(partial, false));
  dispatch->bytes -= argmax_partial_bytes(0);
  bind(dispatch, {Operand::results, false, true, 0, 0, 0, plan_.results.bytes});
  close(dispatch);
  return {};
}

}  // namespace nbl
