#include "rt/plan/chain.h"

#include "rt/kernels/chain.h"

namespace nbl {
namespace {

// The blocks that a chain's bindings name.
struct Blocks {
  static constexpr uint32_t kNone = ~0u;
  uint32_t weights = kNone, caches = kNone, activations = kNone;
};

// Dispatches [first, first + count) of a phase that become one.
struct Run {
  uint32_t first;
  uint32_t count;
  ChainShape shape;
  Blocks blocks;
};

// Lanes read eight floats of a row at a time.
constexpr uint64_t kMessageAlignBytes = 32;

bool same_block(uint32_t* block, uint32_t other) {
  if (*block == Blocks::kNone) *block = other;
  return *block == other;
}

// True where the dispatch finds its weights, caches and activations in these blocks.
bool join_blocks(const Dispatch& dispatch, Blocks* blocks) {
  Blocks wider = *blocks;
  for (uint32_t i = 0; i < dispatch.binding_count; ++i) {
    const Binding& b = dispatch.bindings[i];
    const bool joins = b.operand == Operand::segment ? same_block(&wider.weights, b.block)
                       : b.operand == Operand::state ? same_block(&wider.caches, b.block)
                       : b.operand == Operand::value ? same_block(&wider.activations, b.block)
                                                     : b.operand == Operand::step;
    if (!joins) return false;
  }
  *blocks = wider;
  return true;
}

// True where the value is a chain's own: written in [first, end) and read by none outside it.
bool is_message(const Phase& phase, const Run& run, const Binding& b) {
  if (b.operand != Operand::value) return false;
  const Value& value = phase.values[b.id];
  return value.tensor >= 0 && value.first_use >= run.first &&
         value.last_use < run.first + run.count && b.id != phase.logits_value;
}

// What is written for others as well is not read in the chain.
bool is_sound(const Phase& phase, const Run& run) {
  for (uint32_t i = run.first; i < run.first + run.count; ++i) {
    const Dispatch& dispatch = phase.dispatches[i];
    const uint32_t output = chain_output(dispatch.call);
    for (uint32_t k = 0; k < dispatch.binding_count; ++k) {
      const Binding& b = dispatch.bindings[k];
      if (b.operand != Operand::value || k == output || is_message(phase, run, b)) continue;
      const Value& value = phase.values[b.id];
      if (value.tensor >= 0 && value.first_use >= run.first) return false;
    }
  }
  return true;
}

// True where dispatch `index` reads the row that the one before it writes, whole and alone: then
// whoever has read it knows that all who wrote it have read what they needed.
bool follows(const Phase& phase, uint32_t index) {
  const Dispatch& before = phase.dispatches[index - 1];
  const Binding& out = before.bindings[chain_output(before.call)];
  const Binding& in = phase.dispatches[index].bindings[kChainInput];
  if (out.operand != Operand::value || in.operand != Operand::value || in.id != out.id)
    return false;
  const Value& value = phase.values[in.id];
  return value.tensor >= 0 && value.first_use == index - 1 && out.bytes == value.bytes &&
         in.bytes == value.bytes;
}

// The longest run from `first` on that one chain takes.
Run find_run(const Plan& plan, const Phase& phase, uint32_t first) {
  Run run{first, 0, {}, {}};
  const std::span<const Dispatch> all = phase.dispatches;
  const uint32_t most = static_cast<uint32_t>(all.size()) - first;
  while (run.count < most) {
    const Dispatch& dispatch = all[first + run.count];
    if (!join_chain(plan.caps, dispatch.call, &run.shape)) break;
    if (run.count != 0 && !follows(phase, first + run.count)) break;
    if (!join_blocks(dispatch, &run.blocks)) break;
    ++run.count;
  }
  while (run.count >= 2 && !is_sound(phase, run))
    --run.count;
  uint64_t bytes = 0;
  for (const Dispatch& dispatch : all.subspan(first, run.count))
    bytes += dispatch.bytes;
  settle_chain(plan.caps, bytes / max_of(run.count, 1u), &run.shape);
  return run;
}

void bind(Dispatch* chain, Operand operand, const Region& place, bool write) {
  chain->bindings[chain->binding_count++] = {operand,     true,         write,      0,
                                             place.block, place.offset, place.bytes};
}

// A block whole; where the chain has nothing in it, any other.
Region whole(const Plan& plan, uint32_t block, uint32_t otherwise) {
  if (block == Blocks::kNone) block = otherwise;
  return {block, 0, plan.blocks[block].bytes};
}

// `first_record`: of those of all chains.
void write_records(Plan* plan, const Phase& phase, const Run& run, uint32_t first_record) {
  for (uint32_t i = 0; i < run.count; ++i) {
    const Dispatch& dispatch = phase.dispatches[run.first + i];
    ChainPlace places[kMaxBindings] = {};
    for (uint32_t k = 0; k < dispatch.binding_count; ++k) {
      const Binding& b = dispatch.bindings[k];
      const bool message = is_message(phase, run, b);
      places[k] = {message ? phase.values[b.id].message : b.offset, message};
    }
    if (chain_part_bytes(plan->caps, dispatch.call) != 0) {
      const Value& row = phase.values[dispatch.bindings[chain_output(dispatch.call)].id];
      places[kChainParts] = {row.message + align_up(row.bytes, kMessageAlignBytes), true};
    }
    write_chain_record(plan->caps, run.shape, dispatch.call, places,
                       plan->records.subspan(size_t{first_record + i} * CHAIN_WORDS, CHAIN_WORDS));
  }
}

// *out is fresh. `first_record`: of those of all chains.
void fill_chain(const Plan& plan, const Phase& phase, const Run& run, uint32_t first_record,
                Dispatch* out) {
  const std::span<const Dispatch> all = phase.dispatches.subspan(run.first, run.count);
  for (const Dispatch& dispatch : all) {
    out->bytes += dispatch.bytes;
    out->bytes_per_position += dispatch.bytes_per_position;
    out->most_positions = max_of(out->most_positions, dispatch.most_positions);
  }
  const uint32_t sync = static_cast<uint32_t>(plan.results.bytes / 4) - CHAIN_SYNC_WORDS;
  out->call = call_chain(plan.caps, run.shape, {run.count, first_record, sync});
  out->op = all[0].op;
  out->barrier_before = true;
  const uint32_t activations = run.blocks.activations;
  bind(out, Operand::step, plan.step, false);
  bind(out, Operand::memory, whole(plan, run.blocks.weights, activations), false);
  bind(out, Operand::memory, whole(plan, run.blocks.caches, activations), true);
  bind(out, Operand::memory, whole(plan, activations, activations), true);
  bind(out, Operand::memory, plan.program, false);
  bind(out, Operand::results, plan.results, true);
  bind(out, Operand::memory, plan.messages, true);
}

bool within_ranges(const Plan& plan, const Dispatch& chain) {
  for (uint32_t i = 0; i < chain.binding_count; ++i) {
    if (chain.bindings[i].bytes > plan.caps.max_storage_range_bytes) return false;
  }
  return true;
}

}  // namespace

uint64_t chain_words(const Plan& plan, uint32_t dispatches) {
  return plan.caps.cores == 0 ? 0 : uint64_t{dispatches} * CHAIN_WORDS;
}

uint64_t place_messages(const Plan& plan, Phase* phase) {
  uint64_t end = 0;
  if (plan.records.empty()) return end;
  for (const Dispatch& dispatch : phase->dispatches) {
    ChainShape alone;
    if (!join_chain(plan.caps, dispatch.call, &alone)) continue;
    const Binding& out = dispatch.bindings[chain_output(dispatch.call)];
    if (out.operand != Operand::value || out.id == phase->logits_value) continue;
    Value& row = phase->values[out.id];
    row.message = end;
    end += align_up(row.bytes, kMessageAlignBytes) +
           align_up(chain_part_bytes(plan.caps, dispatch.call), kMessageAlignBytes);
  }
  return end;
}

void make_chains(Plan* plan, Phase* phase) {
  if (plan->records.empty()) return;
  const std::span<Dispatch> all = phase->dispatches;
  uint32_t kept = 0;
  uint32_t first_record = 0;  // of the next chain
  bool after_chain = false;
  for (uint32_t i = 0; i < all.size();) {
    const Run run = find_run(*plan, *phase, i);
    Dispatch chain{};
    if (run.count >= 2) fill_chain(*plan, *phase, run, first_record, &chain);
    const bool chained = run.count >= 2 && within_ranges(*plan, chain);
    if (chained) {
      write_records(plan, *phase, run, first_record);
      first_record += run.count;
      all[kept] = chain;
    } else if (kept != i) {
      all[kept] = all[i];
    }
    // Barriers inside a chain order nothing outside it.
    all[kept].barrier_before |= after_chain;
    after_chain = chained;
    ++kept;
    i += chained ? run.count : 1;
  }
  phase->dispatches = all.first(kept);
  phase->barrier_count = 0;
  for (const Dispatch& dispatch : phase->dispatches)
    phase->barrier_count += dispatch.barrier_before ? 1 : 0;
}

}  // namespace nbl
