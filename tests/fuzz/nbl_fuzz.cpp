// Could break: a model file leads load, plan, the tokenizer, the chat table or what nibblec prints
// of it out of its bytes, or plan takes other memory than it says or puts things where they are
// not.
//
// Input  a .nbl file.
#include <cstring>
#include <string>

#include "boards/boards.h"
#include "compiler/error.h"
#include "compiler/inspect/inspect.h"
#include "rt/base/crc32.h"
#include "rt/load.h"
#include "rt/plan.h"
#include "tests/fuzz/support/exact_bytes.h"
#include "tests/fuzz/support/model_mutator.h"
#include "tests/fuzz/support/mutator.h"
#include "tests/fuzz/support/use_tokenizer.h"

namespace nbl::fuzz {
namespace {

void require_sentence(const Error& error) {
  char text[256];
  require(describe(error, text, sizeof text) > 0, "what is refused has a sentence");
}

void check_region(const Plan& plan, const Region& region) {
  require(region.block < plan.blocks.size(), "a region is in a block");
  const uint64_t bytes = plan.blocks[region.block].bytes;
  require(region.offset <= bytes && region.bytes <= bytes - region.offset,
          "a region ends inside its block");
}

void check_phase(const Plan& plan, const Phase& phase) {
  for (const Dispatch& d : phase.dispatches) {
    for (const uint32_t groups : d.call.grid)
      require(groups >= 1, "a dispatch has work-groups");
    require(d.binding_count <= kMaxBindings, "bindings are as many as there is room for");
    for (uint32_t i = 0; i < d.binding_count; ++i) {
      const Binding& b = d.bindings[i];
      check_region(plan, {b.block, b.offset, b.bytes});
      require(plan.blocks[b.block].image_rows != 0 || b.bytes <= plan.caps.max_storage_range_bytes,
              "a binding is one that the device can make");
    }
  }
}

void make_plan(const Model& model, const Caps& caps, const PlanOptions& options) {
  Plan scratch;
  PlanCounts counts;
  Error error;
  if (!count_plan(model, caps, options, &scratch, &counts, &error).ok())
    return require_sentence(error);
  // A plan of more is possible, and takes the time of one.
  if (counts.host_bytes > (size_t{64} << 20)) return;
  const ExactBytes block(counts.host_bytes);
  Arena arena(block.span());
  Plan made;
  const Status status = plan(model, caps, options, &arena, &made, &error);
  if (!status.ok()) {
    require(status.code() != Code::arena_full, "a plan fits where it says it does");
    return require_sentence(error);
  }
  require(made.decode.dispatches.size() > 0, "a plan does something");
  for (const Phase* phase : {&made.decode, &made.prefill, &made.window, &made.slide})
    check_phase(made, *phase);
}

Caps one_memory(Caps caps) {
  caps.kind = DeviceKind::integrated;
  caps.memory_type_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = uint64_t{1} << 34;
  return caps;
}

// A device and options that follow from the file, so that each input does the same every time.
void plan_somehow(const Model& model, uint32_t choice) {
  const auto bit = [&](uint32_t index) { return (choice >> index & 1) != 0; };
  PlanOptions options{.logits = static_cast<LogitsMode>((choice >> 8) % 3),
                      .floor_kernels = bit(0) && bit(1),
                      .float32 = bit(2),
                      .gpu_kernels = bit(3),
                      .import_weights = bit(4),
                      .stage_weights = bit(5),
                      .weights = static_cast<WeightMemory>((choice >> 12) % 3),
                      .chains = static_cast<Chains>((choice >> 16) % 3),
                      .slide = bit(6),
                      .sinks = bit(7) ? kNoSinks : 0};
  make_plan(model, one_memory(floor_caps()), options);
  const std::span<const Board> all = boards();
  Caps caps = all[(choice >> 20) % all.size()].caps;
  caps.features |= bit(30) ? uint32_t{kTextureWeights} : 0;
  make_plan(model, caps, options);
}

void print(const Model& model, uint32_t choice) {
  try {
    compiler::model_text(model);
    const std::span<const Board> all = boards();
    const compiler::OwnedPlan owned = compiler::make_plan(model, all[choice % all.size()].caps);
    compiler::plan_text(model, owned.plan);
  } catch (const compiler::CompileError&) {
  }
}

}  // namespace
}  // namespace nbl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl;
  using namespace nbl::fuzz;
  const ExactBytes file(data, size);
  Model model;
  Error error;
  if (!load(file.span(), &model, &error).ok()) {
    require_sentence(error);
    return 0;
  }
  const uint32_t choice = crc32(file.span());
  if (!verify_hashes(model, &error).ok()) require_sentence(error);
  plan_somehow(model, choice);
  TokenizerTables tables{};
  if (model.tokenizer(&tables)) {
    use_tokenizer(tables);
    ChatTable chat;
    if (model.chat(&chat)) use_chat(tables, chat);
  }
  if (choice % 8 == 0) print(model, choice >> 3);
  return 0;
}

NBL_FUZZ_MUTATOR(mutate_model)
