// From the timestamps of a step to the times of its dispatches.
#include "rt/timings.h"

#include "rt/base/checked.h"
#include "rt/base/ticks.h"
#include "rt/engine.h"
#include "rt/kernels/variants.h"

namespace nbl {
namespace {

void describe_dispatch(const Model& model, const Dispatch& d, uint32_t positions, nbl_timing* t) {
  const Variant& variant = kVariants[d.call.variant];
  const Op op = model.op(d.op);
  t->kernel = variant.name;
  t->node = op.name.empty() ? "" : op.name.data();
  t->op = kOpKindNames[static_cast<size_t>(op.kind)].data();
  const bool chosen = variant.local_id < d.call.spec_count;
  const uint32_t local[3] = {chosen ? d.call.spec[variant.local_id] : variant.local_x, 1, 1};
  for (uint32_t axis = 0; axis < 3; ++axis) {
    t->grid[axis] = d.call.grid[axis];
    t->local_size[axis] = local[axis];
    t->global_size[axis] = uint64_t{d.call.grid[axis]} * local[axis];
  }
  t->bytes = d.bytes + d.bytes_per_position * min_of(positions, d.most_positions);
}

}  // namespace

Status last_timings(const Engine& e, bool prefill, std::span<nbl_timing> out, uint32_t* count,
                    Error* error) {
  const bool second = prefill && !e.plan.prefill.dispatches.empty();
  const Phase& phase = second ? e.plan.prefill : e.plan.decode;
  const Timestamps& stamps =
      second ? e.recording.prefill.timestamps : e.recording.decode.timestamps;
  if (stamps.count == 0) {
    const bool asked = (e.config.flags & NBL_FLAG_TIMESTAMPS) != 0;
    return fail(error, Code::no_timestamps, 0,
                asked ? "this device has none" : "the engine was opened without them");
  }
  const uint32_t positions = second ? e.sequence.prefill_positions : e.sequence.decode_positions;
  if (positions == 0) {
    return fail(error, Code::no_timestamps, 0,
                second ? "no prefill step has run" : "no decode step has run");
  }
  const uint32_t needed = static_cast<uint32_t>(phase.dispatches.size());
  if (out.size() < needed) {
    return fail(error, Code::output_too_small, 0, "the timings array", needed, out.size());
  }
  const std::span<uint64_t> ticks = e.recording.ticks.first(stamps.count);
  NBL_TRY(read_timestamps(e.device, stamps, ticks, error));
  const Caps& caps = e.device.caps;
  TickTimeline timeline(caps.timestamp_bits, ticks[0]);
  for (uint32_t i = 0; i < needed; ++i) {
    nbl_timing& t = out[i];
    const TickSpan span = timeline.next(ticks[2 * i + 1], ticks[2 * i + 2]);
    t.index = i;
    describe_dispatch(e.model, phase.dispatches[i], positions, &t);
    t.start_ns = ticks_to_ns(span.start, caps.timestamp_period_ns);
    t.end_ns = ticks_to_ns(span.end, caps.timestamp_period_ns);
    t.duration_ns = t.end_ns - t.start_ns;
  }
  *count = needed;
  return {};
}

}  // namespace nbl
