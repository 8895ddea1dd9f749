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

// Bytes of a message's slot: two words an element of the longest row that can be one.
uint64_t slot_bytes(const Phase& phase) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < phase.values.size(); ++i) {
    const Value& value = phase.values[i];
    if (value.tensor >= 0 && i != phase.logits_value) most = max_of(most, value.bytes);
  }
  return align_up(2 * most, kDeviceAlignBytes);
}

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

// Messages do not live for ever, and what is written for others as well is not read in the chain.
bool is_sound(const Phase& phase, const Run& run) {
  for (uint32_t i = run.first; i < run.first + run.count; ++i) {
    const Dispatch& dispatch = phase.dispatches[i];
    const uint32_t output = chain_output(dispatch.call);
    for (uint32_t k = 0; k < dispatch.binding_count; ++k) {
      const Binding& b = dispatch.bindings[k];
      if (b.operand != Operand::value) continue;
      const Value& value = phase.values[b.id];
      if (value.tensor < 0) continue;
      if (is_message(phase, run, b)) {
        if (value.last_use - value.first_use > CHAIN_MOST_AGE) return false;
      } else if (k != output && value.first_use >= run.first) {
        return false;
      }
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
  while (run.count < min_of(most, uint32_t{CHAIN_MOST_TAGS - 1})) {
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

void write_records(Plan* plan, const Phase& phase, const Run& run, uint32_t first_record) {
  const uint64_t slot = slot_bytes(phase);
  for (uint32_t i = 0; i < run.count; ++i) {
    const Dispatch& dispatch = phase.dispatches[run.first + i];
    ChainPlace places[kMaxBindings] = {};
    for (uint32_t k = 0; k < dispatch.binding_count; ++k) {
      const Binding& b = dispatch.bindings[k];
      places[k].bytes = b.offset;
      if (!is_message(phase, run, b)) continue;
      const uint32_t writer = phase.values[b.id].first_use - run.first;
      places[k] = {writer % CHAIN_MESSAGES * slot, writer + 1};
    }
    if (chain_part_bytes(plan->caps, dispatch.call) != 0) {
      places[kChainParts] = {CHAIN_MESSAGES * slot, i + 1};
    }
    write_chain_record(plan->caps, run.shape, dispatch.call, places,
                       plan->records.subspan(size_t{first_record + i} * CHAIN_WORDS, CHAIN_WORDS));
  }
}

// *out is fresh.
void fill_chain(const Plan& plan, const Phase& phase, const Run& run, uint32_t first_record,
                Dispatch* out) {
  for (const Dispatch& dispatch : phase.dispatches.subspan(run.first, run.count)) {
    out->bytes += dispatch.bytes;
    out->bytes_per_position += dispatch.bytes_per_position;
    out->most_positions = max_of(out->most_positions, dispatch.most_positions);
  }
  const uint32_t sync = static_cast<uint32_t>(plan.results.bytes / 4) - CHAIN_SYNC_WORDS;
  out->call = call_chain(plan.caps, run.shape, run.count, first_record, sync);
  out->op = phase.dispatches[run.first].op;
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

uint64_t message_bytes(const Plan& plan, const Phase& phase) {
  if (plan.records.empty()) return 0;
  uint64_t parts = 0;
  for (const Dispatch& dispatch : phase.dispatches)
    parts = max_of(parts, chain_part_bytes(plan.caps, dispatch.call));
  return slot_bytes(phase) * CHAIN_MESSAGES + parts;
}

void make_chains(Plan* plan, Phase* phase) {
  if (plan->records.empty()) return;
  const std::span<Dispatch> all = phase->dispatches;
  uint32_t kept = 0;
  uint32_t records = 0;
  bool after_chain = false;
  for (uint32_t i = 0; i < all.size();) {
    const Run run = find_run(*plan, *phase, i);
    Dispatch chain{};
    if (run.count >= 2) fill_chain(*plan, *phase, run, records, &chain);
    const bool chained = run.count >= 2 && within_ranges(*plan, chain);
    if (chained) {
      write_records(plan, *phase, run, records);
      records += run.count;
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
