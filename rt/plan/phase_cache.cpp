// The two phases that move rows of the KV caches between steps: to and from the window that the
// host sees, and to earlier positions.
#include "rt/kernels/cache_rows.h"
#include "rt/model/cache.h"
#include "rt/plan/phase.h"

namespace nbl {

Status PhaseBuilder::build_window(Error* error) {
  CacheRowsArgs args{};
  args.rows = tokens_;
  args.context = plan_.options.context;
  args.stride = plan_.row_bytes / 4;
  for (uint32_t i = 0; i < model_.tensor_count(); ++i) {
    const Tensor t = model_.tensor(i);
    if (t.role != Role::state) continue;
    args.kv_heads = t.shape[0];
    args.head_dim = t.shape[2];
    args.cache = t.dtype;
    KernelCall call;
    NBL_TRY(call_cache_rows(plan_.caps, args, &call, error));
    Dispatch* dispatch = open(call);
    bind(dispatch, step(false));
    bind(dispatch, cache(static_cast<int32_t>(i), true));
    bind(dispatch, {Operand::window, true, true, 0, 0, 0, plan_.io_window.bytes});
    close(dispatch);
    args.offset += t.shape[0] * cache_row_bytes(t.dtype, t.shape[2]) / 4;
  }
  return {};
}

// The rotation of the rows that an update_cache writes: that of the rope right before it. Where
// something else than a linear or a part of its columns is, rows may have been rotated and then
// changed, which cannot be undone.
Status PhaseBuilder::find_rotation(const Op& update, Op* rotation, Error* error) const {
  for (uint32_t i = 0; i < model_.op_count(); ++i) {
    *rotation = model_.op(i);
    if (rotation->outputs[0] != update.inputs[0]) continue;
    if (rotation->kind == OpKind::rope) return {};
    if (!is_linear(rotation->kind) && rotation->kind != OpKind::slice) break;
    rotation->rotary_dim = 0;
    return {};
  }
  return fail(error, Code::cannot_slide, op_index_, update.name);
}

Status PhaseBuilder::build_slide(Error* error) {
  for (op_index_ = 0; op_index_ < model_.op_count(); ++op_index_) {
    const Op op = model_.op(op_index_);
    const bool joint = op.kind == OpKind::rope_update_cache;
    if (!joint && op.kind != OpKind::update_cache) continue;
    Op rotation = op;
    if (!joint) NBL_TRY(find_rotation(op, &rotation, error));
    const Binding keys = cache(op.outputs[joint ? 1 : 0], true);
    const Tensor t = model_.tensor(keys.id);
    const ShiftCacheArgs args{.rows = tokens_,
                              .kv_heads = t.shape[0],
                              .head_dim = t.shape[2],
                              .rotary_dim = rotation.rotary_dim,
                              .half = rotation.rope_half,
                              .context = plan_.options.context,
                              .shift = plan_.shift,
                              .values = joint,
                              .cache = t.dtype};
    KernelCall call;
    NBL_TRY(call_shift_cache(plan_.caps, args, &call, error));
    const Binding table = args.rotary_dim > 0 ? whole_weight(rotation.inputs[1]) : keys;
    Dispatch* dispatch = open(call);
    bind(dispatch, step(false));
    bind(dispatch, keys);
    bind(dispatch, table);
    bind(dispatch, keys);
    bind(dispatch, keys);
    bind(dispatch, joint ? cache(op.outputs[2], true) : keys);
    bind(dispatch, table);
    close(dispatch);
  }
  return {};
}

}  // namespace nbl
