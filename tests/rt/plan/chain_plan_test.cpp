// Could break: a chain reads a message that nobody writes or whose slot is written again, takes
// what it cannot run, or a plan with chains takes another amount of memory than it says.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "rt/kernels/chain.h"
#include "rt/kernels/variants.h"
#include "rt/plan.h"
#include "spirv/linear.push.h"
#include "tests/support/model_builder.h"
#include "tests/support/random.h"

namespace nbl::test {
namespace {

Caps wide_caps(uint32_t cores) {
  Caps caps = floor_caps();
  caps.kind = DeviceKind::discrete;
  caps.subgroup_size = 32;
  caps.features = kSubgroupShuffle | kSubgroupArithmetic;
  caps.max_invocations = caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 49152;
  caps.max_storage_range_bytes = 0xffffffff;
  caps.max_allocation_bytes = 1ull << 33;
  caps.lanes = 270336;
  caps.gigabytes_per_s = 300;
  caps.gigaflops = 8000;
  caps.memory_type_count = 2;
  caps.memory_types[0] = {kDeviceLocal, 0};
  caps.memory_types[1] = {kHostVisible | kHostCoherent, 1};
  caps.memory_heap_count = 2;
  caps.memory_heap_bytes[0] = caps.memory_heap_bytes[1] = 1ull << 36;
  caps.cores = cores;
  return caps;
}

struct Planned {
  std::vector<std::byte> block;
  Arena arena;
  Plan plan;
};

std::unique_ptr<Planned> plan_of(const Model& model, const Caps& caps, const PlanOptions& options) {
  auto p = std::make_unique<Planned>();
  p->block.resize(4u << 20);
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(p->block.data()) % 64) % 64;
  p->arena = Arena({p->block.data() + skip, p->block.size() - 64});
  EXPECT_TRUE(plan(model, caps, options, &p->arena, &p->plan, nullptr).ok());
  return p;
}

bool is_chain(const Dispatch& d) {
  return kVariants[d.call.variant].family == Family::chain;
}

// Every message is written before it is read, and its slot not again until nobody reads it: a
// record reads what the one before it wrote, all of it, and no message is read when it is old.
void expect_messages_sound(const Plan& plan, const Dispatch& chain) {
  ChainPush push;
  memcpy(&push, chain.call.push, sizeof push);
  std::map<uint32_t, uint32_t> written;  // tag -> record
  for (uint32_t i = 0; i < push.records; ++i) {
    const auto r = plan.records.subspan(size_t{push.first + i} * CHAIN_WORDS, CHAIN_WORDS);
    std::vector<uint32_t> reads = {r[CHAIN_X_TAG]};
    const bool linear = (r[CHAIN_FLAGS] & CHAIN_ATTENTION) == 0;
    EXPECT_EQ(r[CHAIN_X_TAG], i) << "record " << i;
    if (linear && (r[CHAIN_FLAGS] & LINEAR_RESIDUAL) != 0) reads.push_back(r[CHAIN_RESIDUAL_TAG]);
    for (const uint32_t tag : reads) {
      if (tag == 0) continue;
      ASSERT_TRUE(written.contains(tag)) << "record " << i;
      EXPECT_LE(i - written[tag], uint32_t{CHAIN_MOST_AGE});
    }
    const uint32_t tag = r[CHAIN_OUT_TAG];
    EXPECT_TRUE(tag == i + 1 || i + 1 == push.records) << "record " << i;
    if (tag != 0) written.try_emplace(tag, i);
    if (!linear) continue;
    const uint32_t units = (r[CHAIN_UNITS] & 0xffffff) * plan.caps.cores + (r[CHAIN_UNITS] >> 24);
    EXPECT_GT(units, 0u);
    EXPECT_EQ(units % 4, 0u);
  }
  EXPECT_EQ(chain.binding_count, kVariants[chain.call.variant].bindings);
  for (uint32_t b = 0; b < chain.binding_count; ++b) {
    const Binding& binding = chain.bindings[b];
    EXPECT_EQ(binding.offset % kDeviceAlignBytes, 0u);
    EXPECT_GT(binding.bytes, 0u);
    EXPECT_LE(binding.offset + binding.bytes, plan.blocks[binding.block].bytes);
  }
}

TEST(ChainPlan, is_right_for_random_decoders) {
  Random random(61);
  uint32_t whole = 0;
  for (int round = 0; round < 300 && !testing::Test::HasFailure(); ++round) {
    SCOPED_TRACE(round);
    ModelBuilder builder(32 + random.below(900), 700, 1 + random.below(64));
    const uint32_t kv_heads = 1u << random.below(3);
    builder.decoder({.dim = 32 + random.below(300),
                     .layers = 1 + random.below(6),
                     .heads = kv_heads * (1 + random.below(4)),
                     .kv_heads = kv_heads,
                     .head_dim = 16u << random.below(4),
                     .ffn = 1 + random.below(5000),
                     .group = 32u << random.below(3),
                     .fused = random.below(4) != 0,
                     .f32_scales = random.below(3) == 0,
                     .cache = random.below(4) == 0 ? DType::i8 : DType::f16,
                     .window = random.below(2) * 100,
                     .softcap = random.below(2) == 0 ? 0.0f : 20.0f});
    const Model model = builder.build();
    const Caps caps = wide_caps(1 + random.below(255));
    const PlanOptions options{.logits = static_cast<LogitsMode>(random.below(3))};
    const auto p = plan_of(model, caps, options);
    for (const Dispatch& d : p->plan.decode.dispatches) {
      if (is_chain(d)) expect_messages_sound(p->plan, d);
    }
    for (const Dispatch& d : p->plan.prefill.dispatches)
      EXPECT_FALSE(is_chain(d));
    whole += p->plan.decode.dispatches.size() == 4 ? 1 : 0;
    PlanCounts counts;
    auto scratch = std::make_unique<Plan>();
    ASSERT_TRUE(count_plan(model, caps, options, scratch.get(), &counts, nullptr).ok());
    EXPECT_EQ(counts.host_bytes, p->arena.used());
    EXPECT_EQ(counts.dispatches[0], p->plan.decode.most_dispatches);
  }
  EXPECT_GT(whole, 20u);  // embedding, one chain, argmax, sample
}

TEST(ChainPlan, comes_about_where_cores_are_known_and_the_caller_wants_it) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({.layers = 3, .head_dim = 64});
  const Model model = builder.build();
  const auto chains = [&](uint32_t cores, const PlanOptions& options) {
    const auto p = plan_of(model, wide_caps(cores), options);
    uint32_t count = 0;
    for (const Dispatch& d : p->plan.decode.dispatches)
      count += is_chain(d) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(chains(132, {}), 1u);
  EXPECT_EQ(chains(0, {}), 0u);
  EXPECT_EQ(chains(0, {.chains = Chains::always}), 1u);
  EXPECT_EQ(chains(132, {.chains = Chains::never}), 0u);
  EXPECT_EQ(chains(132, {.floor_kernels = true}), 0u);
}

TEST(ChainPlan, leaves_rows_that_shared_memory_cannot_hold_to_separate_dispatches) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({.layers = 2, .head_dim = 64, .ffn = 14336});
  const auto p = plan_of(builder.build(), wide_caps(132), {});
  uint32_t separate = 0;
  for (const Dispatch& d : p->plan.decode.dispatches)
    separate += kVariants[d.call.variant].family == Family::gemv ? 1 : 0;
  // The projections down; those of gate and up, which share a row with them; the head.
  EXPECT_EQ(separate, 5u);
}

TEST(ChainPlan, puts_all_weights_into_one_block) {
  ModelBuilder builder(152064, 64, 4);
  builder.decoder({.dim = 3584, .layers = 1});
  const auto p = plan_of(builder.build(), wide_caps(132), {});
  uint32_t blocks = 0;
  for (const Block& block : p->plan.blocks)
    blocks += block.role == BlockRole::weights ? 1 : 0;
  EXPECT_EQ(blocks, 1u);
}

}  // namespace
}  // namespace nbl::test
