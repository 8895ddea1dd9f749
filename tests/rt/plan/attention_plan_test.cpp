// A plan could give a cache another size than its type has, make room for a score matrix, or choose
// a kernel that lacks what an attention asks for; load could take what no kernel computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "rt/kernels/variants.h"
#include "rt/model/check.h"
#include "rt/plan.h"
#include "tests/support/model_builder.h"

namespace nbl::test {
namespace {

// The floor with memory of one type.
Caps memory_caps() {
  Caps caps = floor_caps();
  caps.memory_type_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = 1ull << 36;
  return caps;
}

struct Planned {
  std::vector<std::byte> block;
  Arena arena;
  Plan plan;
  Error error;
  Status status;
};

std::unique_ptr<Planned> make_plan(const Model& model, const Caps& caps, PlanOptions options) {
  auto p = std::make_unique<Planned>();
  p->block.resize(1u << 20);
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(p->block.data()) % 64) % 64;
  p->arena = Arena(std::span(p->block).subspan(skip));
  p->status = plan(model, caps, options, &p->arena, &p->plan, &p->error);
  return p;
}

TEST(AttentionPlan, joins_them_for_the_cache_types_and_modes_that_the_joined_kernel_has) {
  Caps caps = memory_caps();
  caps.kind = DeviceKind::discrete;
  caps.features = kNoFeatures;
  caps.max_shared_bytes = 49152;
  caps.max_invocations = caps.max_workgroup_x = 256;
  const auto joined = [&](const ModelBuilder::Decoder& d) {
    ModelBuilder builder(512, 256, 16);
    builder.decoder(d);
    const auto p = make_plan(builder.build(), caps, {});
    EXPECT_TRUE(p->status.ok()) << p->error.name;
    return std::any_of(p->plan.decode.dispatches.begin(), p->plan.decode.dispatches.end(),
                       [](const Dispatch& dispatch) {
                         return dispatch.call.variant ==
                                static_cast<uint16_t>(VariantId::sdpa_token);
                       });
  };
  EXPECT_TRUE(joined({.cache = DType::i8}));
  EXPECT_TRUE(joined({.window = 100, .softcap = 30, .full = true}));
  EXPECT_FALSE(joined({.cache = DType::f32}));
  EXPECT_FALSE(joined({.mask = true}));
}

// Scores of 2048 tokens against 2048 positions would take 16 MiB a head.
TEST(AttentionPlan, has_no_room_for_scores) {
  uint64_t bytes[2];
  for (const uint32_t i : {0u, 1u}) {
    const uint32_t context = 2048u << i;
    ModelBuilder builder(512, context, 2048);
    builder.decoder({.dim = 256, .layers = 2, .heads = 8, .kv_heads = 2, .head_dim = 32});
    Caps caps = memory_caps();
    caps.kind = DeviceKind::discrete;
    caps.lanes = 1u << 18;
    const auto p = make_plan(builder.build(), caps, {});
    ASSERT_TRUE(p->status.ok()) << p->error.name;
    ASSERT_EQ(p->plan.prefill.tokens, 2048u);
    for (const Value& value : p->plan.prefill.values)
      EXPECT_LT(value.bytes, 2048u * 2048 * 4);
    bytes[i] = p->plan.prefill.activation_bytes;
    EXPECT_LT(bytes[i], 2048u * 2048 * 4);
  }
  EXPECT_EQ(bytes[0], bytes[1]) << "activations must not grow with the context";
}

TEST(AttentionPlan, gives_each_cache_type_its_bytes_in_blocks_that_are_cleared) {
  const Caps caps = memory_caps();
  for (const auto& [type, row] :
       {std::pair(DType::f16, 40u), std::pair(DType::f32, 80u), std::pair(DType::i8, 24u)}) {
    ModelBuilder builder(512, 300, 16);
    builder.decoder({.layers = 3, .heads = 4, .kv_heads = 2, .head_dim = 20, .cache = type});
    // Fewer positions than the model has: the cache is laid out for these.
    const auto p = make_plan(builder.build(), caps, {.context = 123});
    ASSERT_TRUE(p->status.ok()) << p->error.name;
    EXPECT_EQ(p->plan.kv_bytes, uint64_t{row} * 123 * 2 * 2 * 3);
    for (const Dispatch& d : p->plan.decode.dispatches) {
      for (uint32_t b = 0; b < d.binding_count; ++b) {
        if (d.bindings[b].operand != Operand::state) continue;
        EXPECT_EQ(d.bindings[b].bytes, uint64_t{row} * 123 * 2);
        EXPECT_EQ(p->plan.blocks[d.bindings[b].block].role, BlockRole::state);
      }
    }
  }
}

TEST(AttentionPlan, binds_the_rows_of_a_mask_that_the_context_reaches) {
  ModelBuilder builder(512, 300, 16);
  builder.decoder({.layers = 1, .mask = true});
  const Model model = builder.build();
  const auto p = make_plan(model, memory_caps(), {.context = 100});
  ASSERT_TRUE(p->status.ok()) << p->error.name;
  bool found = false;
  for (const Dispatch& d : p->plan.decode.dispatches) {
    if (kVariants[d.call.variant].family != Family::sdpa) continue;
    found = true;
    EXPECT_EQ(d.bindings[6].operand, Operand::segment);
    EXPECT_EQ(d.bindings[6].bytes, 100u * 300 * 4);
  }
  EXPECT_TRUE(found);
}

TEST(AttentionChecks, refuse_attention_that_no_kernel_computes) {
  const auto code = [](const ModelBuilder::Decoder& d) {
    ModelBuilder builder(512, 64, 16);
    builder.decoder(d);
    const Model model = builder.build();
    Error error;
    const Status tensors = check_tensors(model, &error);
    return tensors.ok() ? check_ops(model, &error).code() : tensors.code();
  };
  // This builder's segments exist only as sizes.
  EXPECT_EQ(code({}), Code::ok);
  EXPECT_EQ(code({.window = 0xffffffff, .softcap = 1e-3f, .full = true, .mask = true}), Code::ok);
  EXPECT_EQ(code({.head_dim = 6}), Code::bad_head_dim);
  EXPECT_EQ(code({.head_dim = 260}), Code::bad_head_dim);
  EXPECT_EQ(code({.head_dim = 13, .cache = DType::i8}), Code::bad_head_dim);
  EXPECT_EQ(code({.cache = DType::u32}), Code::unknown_layout);
  EXPECT_EQ(code({.cache = DType::q4}), Code::unknown_layout);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float cap : {-1.0f, kInfinity, -kInfinity, std::nanf(""), 1e-45f, 3.3e38f}) {
    EXPECT_EQ(code({.softcap = cap}), Code::bad_op) << cap;
  }
}

}  // namespace
}  // namespace nbl::test
