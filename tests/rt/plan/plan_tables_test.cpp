// What could break: windows of tables in rows, and scales that are too large for a block of memory.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "rt/plan.h"
#include "tests/support/model_builder.h"

namespace nbl::test {
namespace {

struct Planned {
  std::vector<std::byte> memory;
  Arena arena{std::span<std::byte>()};
  Plan plan;
  Error error;
};

std::unique_ptr<Planned> make_plan(const Model& model, uint64_t range_bytes) {
  Caps caps = floor_caps();
  caps.max_storage_range_bytes = range_bytes;
  caps.memory_type_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = 1ull << 36;
  auto made = std::make_unique<Planned>();
  made->memory.resize(16u << 20);
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(made->memory.data()) % 64) % 64;
  made->arena = Arena(std::span(made->memory).subspan(skip));
  const Status status = plan(model, caps, {}, &made->arena, &made->plan, &made->error);
  EXPECT_TRUE(status.ok()) << made->error.name;
  return made;
}

// The bytes of a binding slot over all windows of an op, each inside its block and in range.
uint64_t bound_bytes(const Plan& plan, uint32_t op, uint32_t slot) {
  uint64_t bytes = 0;
  for (const Dispatch& d : plan.decode.dispatches) {
    if (d.op != op) continue;
    const Binding& b = d.bindings[slot];
    EXPECT_LE(b.bytes, plan.caps.max_storage_range_bytes);
    EXPECT_EQ(b.offset % kDeviceAlignBytes, 0u);
    EXPECT_LE(b.offset + b.bytes, plan.blocks[b.block].bytes);
    bytes += b.bytes;
  }
  return bytes;
}

// Every row of the table is in exactly one window of the gather.
void expect_gathered_once(const Model& model, const Plan& plan) {
  const Tensor table = model.tensor(static_cast<uint32_t>(model.op(0).inputs[1]));
  const Q4Format format = q4_format(table);
  EXPECT_EQ(bound_bytes(plan, 0, 1), format.data_bytes(table.shape[0], table.columns()));
  EXPECT_EQ(bound_bytes(plan, 0, 2), format.scale_bytes(table.shape[0], table.columns()));
}

constexpr Layout kLayouts[] = {Layout::q4_t16k8, Layout::q4_rows_linear, Layout::q4_rows_embedding};

TEST(PlanTables, are_bound_window_by_window) {
  for (const Layout layout : kLayouts) {
    for (const bool f32 : {false, true}) {
      ModelBuilder builder(5001, 64, 4);
      builder.decoder({.layers = 1, .group = 16, .table = {.layout = layout, .f32_scales = f32}});
      const Model model = builder.build();
      const auto p = make_plan(model, 40000);
      expect_gathered_once(model, p->plan);
    }
  }
}

// 152064 rows of 3584 in groups of 8: nibbles and f32 scales of 272 MB each, over the 256 MiB of a
// block.
TEST(PlanTables, are_cut_with_their_scales_at_the_same_rows) {
  for (const Layout layout : kLayouts) {
    ModelBuilder builder(152064, 64, 4);
    builder.decoder({.dim = 3584,
                     .layers = 1,
                     .group = 8,
                     .table = {.layout = layout, .f32_scales = true},
                     .f32_scales = true});
    const Model model = builder.build();
    for (const uint64_t range : {uint64_t{1} << 32, uint64_t{128} << 20}) {
      const auto p = make_plan(model, range);
      expect_gathered_once(model, p->plan);
      uint64_t cut = 0;
      for (const SegmentPlace& place : p->plan.segments)
        cut += place.part_bytes != 0 ? 1 : 0;
      EXPECT_GE(cut, 2u);
    }
  }
}

}  // namespace
}  // namespace nbl::test
