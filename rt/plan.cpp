#include "rt/plan.h"

#include "rt/base/checked.h"
#include "rt/kernels/chain.h"
#include "rt/mem/hazards.h"
#include "rt/mem/offsets.h"
#include "rt/plan/chain.h"
#include "rt/plan/phase.h"
#include "rt/plan/place.h"
#include "rt/plan/storage.h"
#include "spirv/step_state.h"
#include "spirv/texture.h"

namespace nbl {
namespace {

constexpr uint32_t kDefaultBurst = 32;
constexpr uint32_t kMaxBurst = 1024;
constexpr uint32_t kDefaultStagingBytes = 4u << 20;
constexpr uint32_t kMinStagingBytes = 64u << 10;
constexpr uint32_t kMaxStagingBytes = 256u << 20;
constexpr uint32_t kMaxPrefillChunk = 4096;
// Bytes of the window, unless a single row is larger: the more rows it holds, the fewer submits.
constexpr uint32_t kWindowBytes = 128u << 10;
constexpr uint32_t kDefaultSinks = 4;  // as many as were found to be enough (docs/design.md)
constexpr uint32_t kGpuLanes = 4096;   // what vk/caps.cpp takes an unknown GPU to have

// An option that may be 0 for its default and has a limit.
Status resolve(const char* name, uint32_t fallback, uint32_t limit, uint32_t* option,
               Error* error) {
  if (*option == 0) *option = fallback;
  if (*option <= limit) return {};
  return fail(error, Code::bad_argument, 0, name, *option, limit);
}

bool any_in_image(const Model& model, const Plan& plan) {
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    if (in_image(model, plan, i)) return true;
  }
  return false;
}

// Images are copied to. A file with any weight in one is not imported for the rest: what is
// imported is the file whole.
bool importable(const Model& model, const Plan& plan) {
  const Caps& caps = plan.caps;
  if (!plan.options.import_weights || plan.options.stage_weights) return false;
  if ((caps.features & kHostImport) == 0 || caps.import_align_bytes == 0) return false;
  // Across a bus every read of a weight would be a transfer.
  if (caps.kind != DeviceKind::cpu && caps.kind != DeviceKind::integrated) return false;
  const uint32_t count = model.segment_count();
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t page = caps.import_align_bytes;
    if (model.segment(i).size > min_of<uint64_t>(kMaxBlockBytes, caps.max_allocation_bytes)) {
      return false;
    }
    const Segment s = model.segment(i);
    if (s.offset % caps.storage_align_bytes != 0) return false;
    if (align_up(s.offset + s.size, page) > model.file().size()) return false;
  }
  return !any_in_image(model, plan);
}

// What rows of the caches are and how many of them move in one step.
Status settle_rows(const Model& model, Plan* plan, Error* error) {
  PlanOptions* o = &plan->options;
  if (model.prefix().size() > o->context) {
    return fail(error, Code::state_too_long, 0, "the model's prefix", model.prefix().size(),
                o->context);
  }
  const uint64_t bytes = model.position_bytes();
  if (bytes > kMaxBlockBytes) {
    return fail(error, Code::device_limit, 0, "a position of all caches", bytes, kMaxBlockBytes);
  }
  plan->row_bytes = static_cast<uint32_t>(bytes);
  if (bytes > 0) {
    plan->window.tokens = min_of(max_of(kWindowBytes / plan->row_bytes, 1u), o->context);
  }
  if (!o->slide) return {};
  const uint32_t most = o->context - 1;
  if (o->sinks == kNoSinks) {
    o->sinks = 0;
  } else {
    NBL_TRY(resolve("sink_tokens", min_of(kDefaultSinks, most), most, &o->sinks, error));
  }
  // A row has moved three times at most when it is dropped.
  plan->shift = div_up(o->context - o->sinks, 4u);
  plan->slide.tokens = min_of(plan->shift, o->context - o->sinks - plan->shift);
  return {};
}

Status settle(const Model& model, const Caps& caps, const PlanOptions& options, Plan* plan,
              Error* error) {
  plan->caps = caps;
  plan->options = options;
  PlanOptions* o = &plan->options;
  const uint32_t context = model.context_length();
  const uint32_t chunk = min_of(model.prefill_chunk(), kMaxPrefillChunk);
  NBL_TRY(resolve("context", context, context, &o->context, error));
  NBL_TRY(resolve("prefill_chunk", chunk, kMaxPrefillChunk, &o->prefill_chunk, error));
  o->prefill_chunk = min_of(o->prefill_chunk, o->context);
  NBL_TRY(resolve("max_burst", kDefaultBurst, kMaxBurst, &o->max_burst, error));
  NBL_TRY(
      resolve("staging_bytes", kDefaultStagingBytes, kMaxStagingBytes, &o->staging_bytes, error));
  o->staging_bytes = max_of(align_up(o->staging_bytes, 4096u), kMinStagingBytes);
  if (o->gpu_kernels && caps.kind == DeviceKind::cpu) {
    plan->caps.features &= ~static_cast<uint32_t>(kScalarLoads);
    plan->caps.lanes = kGpuLanes;
  }
  if (o->float32) plan->caps.features &= ~(kCooperativeMatrix | kCooperativeMatrixN8);
  if (o->weights == WeightMemory::images) plan->caps.features |= kTextureWeights;
  if (o->weights == WeightMemory::buffers) {
    plan->caps.features &= ~static_cast<uint32_t>(kTextureWeights);
  }
  if (o->chains == Chains::always) {
    plan->caps.cores = max_of(plan->caps.cores, 1u);
    plan->caps.features &= ~static_cast<uint32_t>(kScalarLoads);
  }
  plan->caps.cores = min_of(plan->caps.cores, kMaxChainGroups);
  if (o->chains == Chains::never || o->floor_kernels) plan->caps.cores = 0;
  if (o->floor_kernels) {
    plan->caps.features &= kTimestamps | kHostImport;
    plan->caps.max_invocations = min_of(caps.max_invocations, kFloorInvocations);
    plan->caps.max_shared_bytes = min_of(caps.max_shared_bytes, kFloorSharedBytes);
  }
  o->import_weights = importable(model, *plan);
  plan->vocab_size = model.vocab_size();
  return settle_rows(model, plan, error);
}

// Runs every stage without storage. The plan's options are settled.
Status count_all(const Model& model, Plan* plan, PlanCounts* counts, Error* error) {
  counts->tensors = model.tensor_count();
  counts->segments = model.segment_count();
  NBL_TRY(place_weights(model, plan, &counts->blocks, error));
  NBL_TRY(place_state(model, plan, {}, &counts->blocks, error));
  counts->blocks += 2;  // activations, io
  const uint32_t chunk = plan->options.prefill_chunk;
  const uint32_t tokens[kPhaseCount] = {1, chunk > 1 ? chunk : 0, plan->window.tokens,
                                        plan->slide.tokens};
  for (uint32_t i = 0; i < kPhaseCount; ++i) {
    if (tokens[i] == 0) continue;
    PhaseBuilder builder(model, *plan, tokens[i], {}, {});
    NBL_TRY(builder.build(static_cast<PhaseKind>(i), error));
    counts->dispatches[i] = builder.dispatch_count();
    if (i < 2) counts->values[i] = builder.value_count();
  }
  return {};
}

// Working memory of place_values() and place_barriers(): the larger phase decides.
struct Work {
  std::span<Region> states;
  std::span<Interval> intervals;
  std::span<uint32_t> value_of;
  std::span<uint64_t> offsets;
  std::span<std::byte> planner;
  std::span<Access> accesses;
};

// Takes (or, without an arena, sums up) everything that a plan needs.
Status take_storage(const PlanCounts& counts, Storage* storage, Plan* plan, Work* work,
                    Error* error) {
  const uint32_t dispatches = max_of(counts.dispatches[0], counts.dispatches[1]);
  const uint32_t values = max_of(counts.values[0], counts.values[1]);
  NBL_TRY(storage->persistent(counts.blocks, &plan->blocks, error));
  NBL_TRY(storage->persistent(counts.dispatches[0], &plan->decode.dispatches, error));
  NBL_TRY(storage->persistent(counts.dispatches[1], &plan->prefill.dispatches, error));
  NBL_TRY(storage->persistent(counts.dispatches[2], &plan->window.dispatches, error));
  NBL_TRY(storage->persistent(counts.dispatches[3], &plan->slide.dispatches, error));
  NBL_TRY(storage->setup(chain_words(*plan, counts.dispatches[0]), &plan->records, error));
  NBL_TRY(storage->setup(counts.segments, &plan->segments, error));
  NBL_TRY(storage->setup(counts.values[0], &plan->decode.values, error));
  NBL_TRY(storage->setup(counts.values[1], &plan->prefill.values, error));
  NBL_TRY(storage->setup(counts.tensors, &work->states, error));
  NBL_TRY(storage->setup(values, &work->intervals, error));
  NBL_TRY(storage->setup(values, &work->value_of, error));
  NBL_TRY(storage->setup(values, &work->offsets, error));
  NBL_TRY(storage->setup(offsets_scratch_bytes(values), &work->planner, error));
  NBL_TRY(storage->setup(hazard_scratch_count(dispatches), &work->accesses, error));
  return {};
}

// Gives the values of a phase their offsets in the activation block.
Status place_values(Phase* phase, const Work& work, Error* error) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < phase->values.size(); ++i) {
    const Value& value = phase->values[i];
    if (value.bytes == 0) continue;
    work.intervals[count] = {value.bytes, value.first_use, max_of(value.first_use, value.last_use)};
    work.value_of[count] = i;
    ++count;
  }
  const std::span<const Interval> intervals = work.intervals.first(count);
  const std::span<uint64_t> offsets = work.offsets.first(count);
  NBL_TRY(plan_offsets(intervals, kDeviceAlignBytes, work.planner, offsets,
                       &phase->activation_bytes, error));
  NBL_ASSERT(check_offsets(intervals, kDeviceAlignBytes, offsets, phase->activation_bytes));
  phase->lower_bound_bytes = lower_bound_bytes(intervals, kDeviceAlignBytes);
  for (uint32_t i = 0; i < count; ++i)
    phase->values[work.value_of[i]].offset = offsets[i];
  return {};
}

Status build_phase(const Model& model, const Plan& plan, uint32_t tokens, Phase* phase,
                   Error* error) {
  phase->tokens = tokens;
  phase->most_dispatches = static_cast<uint32_t>(phase->dispatches.size());
  PhaseBuilder builder(model, plan, tokens, phase->dispatches, phase->values);
  NBL_TRY(builder.build(PhaseKind::step, error));
  phase->weight_bytes = builder.weight_bytes();
  phase->logits_rows = builder.logits_rows();
  phase->logits_value = builder.logits_value();
  Value& logits = phase->values[phase->logits_value];
  // The copy to the host comes after the last dispatch.
  logits.last_use = builder.dispatch_count();
  phase->logits = {0, 0, logits.bytes};
  return {};
}

// Turns what a binding names into a block and an offset.
Status resolve_binding(const Plan& plan, const Phase& phase, std::span<const Region> states,
                       uint32_t activation_block, Binding* b, uint32_t op, Error* error) {
  Region place{};
  switch (b->operand) {
    case Operand::step:
      place = plan.step;
      break;
    case Operand::results:
      place = plan.results;
      break;
    case Operand::memory:
      place = {b->block, 0, 0};
      break;
    case Operand::window:
      place = plan.io_window;
      break;
    case Operand::value:
      place = {activation_block, phase.values[b->id].offset, 0};
      break;
    case Operand::state:
      place = states[b->id];
      break;
    case Operand::segment: {
      const SegmentPlace& segment = plan.segments[b->id];
      place = segment.first;
      if (segment.part_bytes != 0) {
        place.block += static_cast<uint32_t>(b->offset / segment.part_bytes);
        b->offset %= segment.part_bytes;
        if (b->offset + b->bytes > segment.part_bytes) {
          return fail(error, Code::device_limit, op, "a cut weight segment", b->bytes,
                      segment.part_bytes);
        }
      }
      break;
    }
  }
  b->block = place.block;
  b->offset += place.offset;
  if (plan.blocks[b->block].image_rows != 0) return {};
  if (b->bytes > plan.caps.max_storage_range_bytes) {
    return fail(error, Code::device_limit, op, "a buffer binding", b->bytes,
                plan.caps.max_storage_range_bytes);
  }
  return {};
}

Status resolve_phase(const Plan& plan, const Work& work, uint32_t activation_block, Phase* phase,
                     Error* error) {
  HazardTracker tracker(work.accesses);
  phase->barrier_count = 0;
  for (Dispatch& dispatch : phase->dispatches) {
    Access accesses[kMaxBindings];
    for (uint32_t i = 0; i < dispatch.binding_count; ++i) {
      Binding& b = dispatch.bindings[i];
      NBL_TRY(resolve_binding(plan, *phase, work.states, activation_block, &b, dispatch.op, error));
      accesses[i] = {b.offset, b.offset + b.bytes, b.block, b.read, b.write};
      if (plan.blocks[b.block].image_rows != 0) {
        set_first_texel(&dispatch.call, static_cast<uint32_t>(b.offset / TEXTURE_TEXEL_BYTES));
      }
    }
    dispatch.barrier_before = tracker.next({accesses, dispatch.binding_count});
    phase->barrier_count += dispatch.barrier_before ? 1 : 0;
  }
  phase->logits.block = activation_block;
  if (!phase->values.empty()) phase->logits.offset = phase->values[phase->logits_value].offset;
  return {};
}

// Builds a phase of dispatches that touch nothing in common: there is no barrier among them.
Status add_cache_phase(const Model& model, const Work& work, Plan* plan, Phase* phase,
                       Error* error) {
  phase->most_dispatches = static_cast<uint32_t>(phase->dispatches.size());
  if (phase->dispatches.empty()) return {};
  PhaseBuilder builder(model, *plan, phase->tokens, phase->dispatches, {});
  NBL_TRY(builder.build(phase == &plan->slide ? PhaseKind::slide : PhaseKind::window, error));
  for (Dispatch& dispatch : phase->dispatches) {
    for (uint32_t i = 0; i < dispatch.binding_count; ++i) {
      NBL_TRY(resolve_binding(*plan, *phase, work.states, 0, &dispatch.bindings[i], 0, error));
    }
  }
  return {};
}

// The activation block, which both phases share, and the block that the host sees. A decode step's
// messages lie behind its values, where a prompt's values may lie as well.
Status add_shared_blocks(Plan* plan, uint32_t* count, uint32_t* activation_block, Error* error) {
  const uint64_t messages = align_up(plan->decode.activation_bytes, kDeviceAlignBytes);
  const uint64_t end = messages + place_messages(*plan, &plan->decode);
  const uint64_t program = align_up(max_of(end, plan->prefill.activation_bytes), kDeviceAlignBytes);
  const uint64_t bytes = program + plan->records.size_bytes();
  if (bytes > plan->caps.max_allocation_bytes) {
    return fail(error, Code::device_limit, 0, "the activation memory", bytes,
                plan->caps.max_allocation_bytes);
  }
  *activation_block = *count;
  plan->program = {*count, program, plan->records.size_bytes()};
  plan->messages = {*count, messages, end - messages};
  plan->blocks[(*count)++] = {BlockRole::activations,           false, false, 0,
                              max_of(bytes, kDeviceAlignBytes), 0};
  const uint32_t io = *count;
  uint64_t io_end = 0;
  const auto put = [&io_end, io](uint64_t size) -> Region {
    const Region place{io, io_end, size};
    io_end = align_up(io_end + size, kDeviceAlignBytes);
    return place;
  };
  plan->io_step = put(plan->step.bytes);
  plan->io_results = put(plan->results.bytes);
  if (plan->options.logits != LogitsMode::none) {
    plan->io_logits = put(max_of(plan->decode.logits.bytes, plan->prefill.logits.bytes));
  }
  plan->io_window = put(uint64_t{plan->window.tokens} * plan->row_bytes);
  plan->blocks[(*count)++] = {BlockRole::io, false, false, 0, io_end, 0};
  return {};
}

}  // namespace

uint32_t step_words(uint32_t prefill_chunk) {
  return STEP_TOKENS + prefill_chunk;
}

Status plan(const Model& model, const Caps& caps, const PlanOptions& options, Arena* arena,
            Plan* out, Error* error) {
  NBL_TRY(settle(model, caps, options, out, error));
  PlanCounts counts;
  NBL_TRY(count_all(model, out, &counts, error));
  Storage storage(arena);
  Work work;
  NBL_TRY(take_storage(counts, &storage, out, &work, error));

  uint32_t blocks = 0;
  NBL_TRY(place_weights(model, out, &blocks, error));
  NBL_TRY(place_state(model, out, work.states, &blocks, error));
  NBL_TRY(build_phase(model, *out, 1, &out->decode, error));
  NBL_TRY(place_values(&out->decode, work, error));
  const bool prefill = !out->prefill.dispatches.empty();
  if (prefill) {
    NBL_TRY(build_phase(model, *out, out->options.prefill_chunk, &out->prefill, error));
    NBL_TRY(place_values(&out->prefill, work, error));
  }
  uint32_t activation_block = 0;
  NBL_TRY(add_shared_blocks(out, &blocks, &activation_block, error));
  NBL_ASSERT(blocks == out->blocks.size());
  NBL_TRY(resolve_phase(*out, work, activation_block, &out->decode, error));
  make_chains(out, &out->decode);
  if (prefill) NBL_TRY(resolve_phase(*out, work, activation_block, &out->prefill, error));
  NBL_TRY(add_cache_phase(model, work, out, &out->window, error));
  NBL_TRY(add_cache_phase(model, work, out, &out->slide, error));
  return choose_memory(out, error);
}

Status count_plan(const Model& model, const Caps& caps, const PlanOptions& options, Plan* scratch,
                  PlanCounts* counts, Error* error) {
  NBL_TRY(settle(model, caps, options, scratch, error));
  *counts = {};
  NBL_TRY(count_all(model, scratch, counts, error));
  Storage storage(nullptr);
  Work work;
  NBL_TRY(take_storage(*counts, &storage, scratch, &work, error));
  counts->host_bytes = storage.bytes();
  return {};
}

}  // namespace nbl
