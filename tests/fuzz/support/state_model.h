// The model and the plan that fuzzed states are of.
#pragma once

#include <vector>

#include "rt/load.h"
#include "rt/plan.h"
#include "tests/fuzz/support/require.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"

namespace nbl::fuzz {

struct StateModel {
  test::AlignedBytes file;
  std::vector<std::byte> arena;
  Model model;
  Plan plan;
};

// Planned for the floor with 12 positions.
inline const StateModel& state_model() {
  static const StateModel* const made = [] {
    auto* m = new StateModel;
    m->file = test::build_model(test::small_llama({.dim = 32,
                                                   .layers = 1,
                                                   .heads = 2,
                                                   .kv_heads = 1,
                                                   .head_dim = 16,
                                                   .ffn = 32,
                                                   .vocab = 99,
                                                   .context = 12}),
                                {.context = 12});
    Error error;
    require(load(m->file.span(), &m->model, &error).ok(), "the model loads");
    Caps caps = floor_caps();
    caps.memory_type_count = 1;
    caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
    caps.memory_heap_count = 1;
    caps.memory_heap_bytes[0] = uint64_t{1} << 30;
    m->arena.resize(size_t{1} << 20);
    const size_t skip = (64 - reinterpret_cast<uintptr_t>(m->arena.data()) % 64) % 64;
    Arena arena(std::span(m->arena).subspan(skip));
    require(plan(m->model, caps, {}, &arena, &m->plan, &error).ok(), "the model is planned");
    return m;
  }();
  return *made;
}

}  // namespace nbl::fuzz
