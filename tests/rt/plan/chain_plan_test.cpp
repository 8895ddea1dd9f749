// Could break: a chain reads a message that nobody writes or at a place of another one's, takes
// what it cannot run, or a plan with chains takes another amount of memory than it says.
#include <gtest/gtest.h>

#include <memory>
#include <set>
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

// A record reads what the one before it wrote; every message is written before it is read, at a
// place where nothing else is. *end: floats of the messages that earlier chains of the step take.
void expect_messages_sound(const Plan& plan, const Dispatch& chain, uint32_t* end) {
  ChainPush push;
  memcpy(&push, chain.call.push, sizeof push);
  const uint32_t head_dim = chain.call.spec[2];
  const uint32_t heads = chain.call.spec[3] * chain.call.spec[5];
  std::set<uint32_t> written;
  uint32_t before = 0;  // where the record before wrote
  const auto take = [end](uint32_t place, uint32_t floats) {
    EXPECT_GE(place, *end);
    EXPECT_EQ(place % 8, 0u);
    *end = place + floats;
  };
  for (uint32_t i = 0; i < push.records; ++i) {
    SCOPED_TRACE(testing::Message() << "record " << i);
    const auto r = plan.records.subspan(size_t{push.first + i} * CHAIN_WORDS, CHAIN_WORDS);
    const uint32_t flags = r[CHAIN_FLAGS];
    const bool linear = (flags & CHAIN_ATTENTION) == 0;
    const bool is_message = (flags & CHAIN_OUT_MESSAGE) != 0;
    EXPECT_EQ((flags & CHAIN_X_MESSAGE) != 0, i != 0);
    if (i != 0) {
      EXPECT_EQ(r[linear ? CHAIN_X : CHAIN_QKV], before);
    }
    EXPECT_EQ(is_message, i + 1 != push.records);
    before = r[linear ? CHAIN_OUT : CHAIN_RESULT];
    if (linear) {
      if ((flags & CHAIN_RESIDUAL_MESSAGE) != 0) {
        EXPECT_TRUE(written.contains(r[CHAIN_RESIDUAL]));
      }
      const uint32_t units = (r[CHAIN_UNITS] & 0xffffff) * plan.caps.cores + (r[CHAIN_UNITS] >> 24);
      EXPECT_GT(units, 0u);
      EXPECT_EQ(units % 4, 0u);
      if (is_message) take(before, units * ((flags & LINEAR_SWIGLU) != 0 ? 4 : 8));
    } else {
      if (is_message) take(before, heads * head_dim);
      if (r[CHAIN_SPLITS] > 1) {
        take(r[CHAIN_PARTS], (r[CHAIN_SPLITS] - 1) * heads * (head_dim + 2));
      }
    }
    if (is_message) written.insert(before);
  }
  EXPECT_EQ(chain.binding_count, kVariants[chain.call.variant].bindings);
  for (uint32_t b = 0; b < chain.binding_count; ++b) {
    const Binding& binding = chain.bindings[b];
    EXPECT_EQ(binding.offset % kDeviceAlignBytes, 0u);
    EXPECT_GT(binding.bytes, 0u);
    EXPECT_LE(binding.offset + binding.bytes, plan.blocks[binding.block].bytes);
  }
}

// Chains of a step keep their messages apart, and nothing else is written where they are.
void expect_chains_sound(const Plan& plan) {
  uint32_t end = 0;
  for (const Dispatch& d : plan.decode.dispatches) {
    if (is_chain(d)) expect_messages_sound(plan, d, &end);
  }
  EXPECT_LE(end * 4, plan.messages.bytes);
  // Messages may lie where a prompt's values do, but not the records, which are written once.
  EXPECT_LE(plan.decode.activation_bytes, plan.messages.offset);
  EXPECT_LE(plan.messages.offset + plan.messages.bytes, plan.program.offset);
  EXPECT_LE(plan.prefill.activation_bytes, plan.program.offset);
  EXPECT_LE(plan.program.offset + plan.program.bytes, plan.blocks[plan.program.block].bytes);
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
    expect_chains_sound(p->plan);
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

TEST(ChainPlan, takes_a_tenth_more_than_the_largest_live_set_at_most) {
  Caps caps = wide_caps(132);
  caps.features |= kCooperativeMatrix | kCooperativeMatrixN8 | kFloat16 | kSubgroupVote;
  caps.matrix_m = caps.matrix_n = caps.matrix_k = 16;
  struct Shape {
    uint32_t vocab;
    ModelBuilder::Decoder decoder;
  };
  const Shape shapes[] = {
      {128256,
       {.dim = 2048, .layers = 16, .heads = 32, .kv_heads = 8, .head_dim = 64, .ffn = 8192}},
      {49152, {.dim = 576, .layers = 30, .heads = 9, .kv_heads = 3, .head_dim = 64, .ffn = 1536}},
      {151936,
       {.dim = 896, .layers = 24, .heads = 14, .kv_heads = 2, .head_dim = 64, .ffn = 4864}}};
  for (const Shape& shape : shapes) {
    ModelBuilder builder(shape.vocab, 4096, 64);
    builder.decoder(shape.decoder);
    const auto p = plan_of(builder.build(), caps, {});
    const Plan& plan = p->plan;
    EXPECT_EQ(plan.decode.dispatches.size(), 4u);
    const uint64_t live = std::max(plan.decode.lower_bound_bytes, plan.prefill.lower_bound_bytes);
    EXPECT_LE(plan.role_bytes[static_cast<uint32_t>(BlockRole::activations)] * 10, live * 11)
        << "of " << shape.decoder.layers << " layers";
  }
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
