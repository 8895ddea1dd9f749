// Could break: rows are rounded to int8 once for every linear, or not at all, or an old rounding is
// taken for another tensor's.
#include <gtest/gtest.h>

#include <algorithm>

#include "rt/kernels/variants.h"
#include "rt/plan.h"
#include "tests/support/model_builder.h"

namespace nbl::test {
namespace {

Caps caps_for_windows() {
  Caps caps = floor_caps();
  caps.memory_type_count = caps.memory_heap_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_heap_bytes[0] = 1ull << 36;
  caps.gigabytes_per_s = caps.gigaflops = 1;
  caps.dispatch_limit_us = 500;  // cuts weights into windows
  return caps;
}

class PlanInt8 : public testing::Test {
 protected:
  // The plan of a model, in storage that lives as long as the test.
  const Plan& plan_of(const Model& model) {
    block_.assign((2u << 20) + 64, std::byte{0});
    plan_ = {};
    Error error;
    const size_t skip = (64 - reinterpret_cast<uintptr_t>(block_.data()) % 64) % 64;
    arena_ = Arena({block_.data() + skip, block_.size() - 64});
    EXPECT_TRUE(plan(model, caps_for_windows(), {}, &arena_, &plan_, &error).ok());
    return plan_;
  }

  static uint32_t count_of(const Phase& phase, Family family) {
    return static_cast<uint32_t>(std::count_if(
        phase.dispatches.begin(), phase.dispatches.end(),
        [&](const Dispatch& d) { return kVariants[d.call.variant].family == family; }));
  }

 private:
  std::vector<std::byte> block_;
  Arena arena_;
  Plan plan_;
};

TEST_F(PlanInt8, rounds_rows_once_for_all_linears_and_windows_that_read_them) {
  constexpr uint32_t kLayers = 3;
  for (const bool fused : {true, false}) {
    ModelBuilder builder(4096, 64, 32);
    builder.int8_activations(true);
    builder.decoder({.dim = 1024, .layers = kLayers, .fused = fused});
    const Plan& made = plan_of(builder.build());
    for (const Phase* phase : {&made.decode, &made.prefill}) {
      // What goes into the attention and the feed-forward and what comes out of each; the last
      // norm.
      EXPECT_EQ(count_of(*phase, Family::quantize_rows), 4 * kLayers + 1);
      EXPECT_GT(count_of(*phase, Family::linear_dq8ca), (fused ? 4u : 7u) * kLayers + 1);
      EXPECT_EQ(count_of(*phase, Family::gemv) + count_of(*phase, Family::gemm), 0u);
    }
  }
}

// Every linear reads what the rounding of its own x wrote, after a barrier, while it is alive.
TEST_F(PlanInt8, gives_every_linear_the_rows_of_its_own_input) {
  ModelBuilder builder(512, 64, 8);
  builder.int8_activations(true);
  builder.decoder({.layers = 2});
  const Model model = builder.build();
  const Plan& made = plan_of(model);
  for (const Phase* phase : {&made.decode, &made.prefill}) {
    const Dispatch* rounding = nullptr;
    for (const Dispatch& d : phase->dispatches) {
      const Family family = kVariants[d.call.variant].family;
      if (family == Family::quantize_rows) rounding = &d;
      if (family != Family::linear_dq8ca) continue;
      ASSERT_NE(rounding, nullptr);
      EXPECT_EQ(model.op(d.op).inputs[0], static_cast<int32_t>(rounding->bindings[1].id));
      EXPECT_EQ(d.bindings[1].offset, rounding->bindings[3].offset);
      EXPECT_EQ(d.bindings[5].offset, rounding->bindings[4].offset);
    }
  }
}

TEST_F(PlanInt8, rounds_again_where_the_norm_or_the_row_differs) {
  ModelBuilder builder(512, 64, 8);
  builder.int8_activations(true);
  const int32_t ids = builder.tokens();
  const int32_t table = builder.q4(512, 64, 32);
  const int32_t x = builder.activation(64);
  builder.op({.kind = OpKind::embedding_q4gsw, .inputs = {ids, table}, .outputs = {x}});
  const int32_t norm = builder.vector(64);
  const auto linear = [&](int32_t with_norm, bool last_row, uint32_t rows) {
    const int32_t weight = builder.q4(rows, 64, 32);
    const int32_t out = builder.activation(rows);
    builder.op({.kind = OpKind::linear_dq8ca_q4gsw,
                .inputs = {x, weight, with_norm, -1, -1},
                .outputs = {out},
                .last_row = last_row});
    return out;
  };
  linear(-1, false, 32);                           // rounds x
  linear(-1, false, 40);                           // shares it
  linear(norm, false, 32);                         // rounds the normed x
  const int32_t logits = linear(norm, true, 512);  // only its last row, where there are more
  builder.op({.kind = OpKind::sample, .inputs = {logits}, .outputs = {}});
  const Plan& made = plan_of(builder.build());
  EXPECT_EQ(count_of(made.decode, Family::quantize_rows), 2u);
  EXPECT_EQ(count_of(made.prefill, Family::quantize_rows), 3u);
}

}  // namespace
}  // namespace nbl::test
