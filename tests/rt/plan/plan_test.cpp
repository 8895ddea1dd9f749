// A plan could let two live tensors share bytes, leave a hazard without its barrier, ask more of a
// device than it has, or take another amount of memory than it says.
#include "rt/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "rt/kernels/variants.h"
#include "rt/mem/hazards.h"
#include "rt/model/check.h"
#include "tests/rt/plan/image_checks.h"
#include "tests/support/model_builder.h"
#include "tests/support/random.h"

namespace nbl::test {
namespace {

Caps random_caps(Random* random) {
  Caps caps = floor_caps();
  constexpr uint32_t kSizes[] = {1, 4, 8, 16, 32, 64, 128};
  constexpr DeviceKind kKinds[] = {DeviceKind::integrated, DeviceKind::discrete, DeviceKind::cpu,
                                   DeviceKind::other};
  caps.kind = kKinds[random->below(4)];
  caps.subgroup_size = kSizes[random->below(7)];
  caps.max_invocations = 128u << random->below(4);
  caps.max_workgroup_x = caps.max_invocations;
  caps.features = random->below(2) == 0 ? 0u : random->below(1u << 12);
  caps.max_shared_bytes = 16384u << random->below(3);
  caps.lanes = 1u << (6 + random->below(13));
  caps.max_storage_range_bytes = (128ull << 20) << random->below(4);
  caps.gigabytes_per_s = 1 + random->below(3000);
  caps.gigaflops = 1 + random->below(60000);
  caps.dispatch_limit_us = 100 + random->below(100000);
  caps.memory_type_count = 2;
  caps.memory_types[0] = {kDeviceLocal, 0};
  caps.memory_types[1] = {kHostVisible | kHostCoherent, 1};
  if (random->below(2) == 0) caps.memory_types[1] = {kDeviceLocal | kHostVisible, 0};
  caps.memory_heap_count = 2;
  caps.memory_heap_bytes[0] = caps.memory_heap_bytes[1] = 1ull << 36;
  set_random_images(random, &caps);
  return caps;
}

struct Planned {
  std::vector<std::byte> block;
  Arena arena;
  Plan plan;
  Error error;
  Status status;
};

constexpr size_t kArenaBytes = 2u << 20;

std::unique_ptr<Planned> make_plan(const Model& model, const Caps& caps, PlanOptions options,
                                   size_t arena_bytes = kArenaBytes) {
  auto p = std::make_unique<Planned>();
  p->block.resize(arena_bytes + 64);
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(p->block.data()) % 64) % 64;
  p->arena = Arena({p->block.data() + skip, arena_bytes});
  p->status = plan(model, caps, options, &p->arena, &p->plan, &p->error);
  return p;
}

std::string text_of(const Error& error) {
  char text[256];
  describe(error, text, sizeof text);
  return text;
}

// Every value's bytes and life, read back from the bindings alone.
void expect_no_live_overlap(const Plan& plan, const Phase& phase) {
  struct Life {
    uint64_t begin, end;
    size_t first, last;
  };
  std::map<uint32_t, Life> lives;
  for (size_t i = 0; i < phase.dispatches.size(); ++i) {
    const Dispatch& d = phase.dispatches[i];
    for (uint32_t b = 0; b < d.binding_count; ++b) {
      const Binding& binding = d.bindings[b];
      if (binding.operand != Operand::value) continue;
      auto [at, fresh] =
          lives.try_emplace(binding.id, Life{binding.offset, binding.offset + binding.bytes, i, i});
      if (fresh) {
        EXPECT_TRUE(binding.write) << "value " << binding.id << " is read before it is written";
      }
      at->second.last = i;
    }
  }
  if (plan.options.logits != LogitsMode::none) {
    for (auto& [id, life] : lives) {
      if (life.begin == phase.logits.offset && life.last + 1 == phase.dispatches.size()) {
        life.last = phase.dispatches.size();
      }
    }
  }
  for (auto a = lives.begin(); a != lives.end(); ++a) {
    for (auto b = std::next(a); b != lives.end(); ++b) {
      const bool together = a->second.first <= b->second.last && b->second.first <= a->second.last;
      const bool overlap = a->second.begin < b->second.end && b->second.begin < a->second.end;
      EXPECT_FALSE(together && overlap) << "values " << a->first << " and " << b->first;
    }
  }
}

void expect_bindings_fit(const Plan& plan, const Phase& phase) {
  for (const Dispatch& d : phase.dispatches) {
    const Variant& variant = kVariants[d.call.variant];
    EXPECT_EQ(variant.needs & ~plan.caps.features, 0u) << variant.name;
    EXPECT_GE(d.binding_count, variant.bindings) << variant.name;
    EXPECT_LE(d.binding_count, plan.caps.max_storage_buffers);
    const bool chosen = variant.local_id < d.call.spec_count;
    const uint32_t local = chosen ? d.call.spec[variant.local_id] : variant.local_x;
    EXPECT_LE(local, plan.caps.max_invocations) << variant.name;
    EXPECT_LE(d.call.push_words * 4u, plan.caps.max_push_bytes);
    for (int axis = 0; axis < 3; ++axis) {
      EXPECT_GE(d.call.grid[axis], 1u);
      EXPECT_LE(d.call.grid[axis], plan.caps.max_grid[axis]) << variant.name;
    }
    for (uint32_t b = 0; b < d.binding_count; ++b) {
      const Binding& binding = d.bindings[b];
      ASSERT_LT(binding.block, plan.blocks.size());
      EXPECT_EQ(binding.offset % kDeviceAlignBytes, 0u) << variant.name;
      EXPECT_GT(binding.bytes, 0u) << variant.name << " binding " << b;
      expect_image_binding_right(plan, d, b);
      EXPECT_LE(binding.offset + binding.bytes, plan.blocks[binding.block].bytes) << variant.name;
    }
  }
}

// Rebuilds the accesses from the bindings and asks the brute-force oracle.
void expect_barriers_right(const Phase& phase) {
  std::vector<DispatchAccesses> accesses(phase.dispatches.size());
  std::unique_ptr<bool[]> before(new bool[phase.dispatches.size()]);
  uint32_t count = 0;
  for (size_t i = 0; i < phase.dispatches.size(); ++i) {
    const Dispatch& d = phase.dispatches[i];
    accesses[i].count = d.binding_count;
    for (uint32_t b = 0; b < d.binding_count; ++b) {
      const Binding& x = d.bindings[b];
      accesses[i].accesses[b] = {x.offset, x.offset + x.bytes, x.block, x.read, x.write};
    }
    before[i] = d.barrier_before;
    count += d.barrier_before ? 1 : 0;
  }
  const std::span<const bool> flags(before.get(), phase.dispatches.size());
  EXPECT_TRUE(check_barriers(accesses, flags));
  EXPECT_TRUE(every_barrier_is_needed(accesses, flags));
  EXPECT_EQ(count, phase.barrier_count);
}

// Every row of every q4 weight of a linear is computed exactly once a phase.
void expect_rows_covered(const Model& model, const Phase& phase) {
  std::map<uint32_t, uint64_t> covered;
  for (const Dispatch& d : phase.dispatches) {
    if (model.op(d.op).kind != OpKind::linear_q4gsw) continue;
    if (kVariants[d.call.variant].family == Family::rms_norm) continue;
    covered[d.op] += d.bindings[2].bytes;
  }
  for (const auto& [op, bytes] : covered) {
    const Tensor weight = model.tensor(static_cast<uint32_t>(model.op(op).inputs[1]));
    EXPECT_EQ(bytes, q4_format(weight).data_bytes(weight.shape[0], weight.columns()));
  }
}

void expect_plan_right(const Model& model, const Caps& caps, const PlanOptions& options) {
  const auto p = make_plan(model, caps, options);
  ASSERT_TRUE(p->status.ok()) << text_of(p->error);
  for (const Phase* phase : {&p->plan.decode, &p->plan.prefill}) {
    expect_no_live_overlap(p->plan, *phase);
    expect_bindings_fit(p->plan, *phase);
    expect_barriers_right(*phase);
    expect_rows_covered(model, *phase);
  }
  for (const Block& block : p->plan.blocks) {
    if (block.role == BlockRole::weights || block.role == BlockRole::state) {
      EXPECT_LE(block.bytes, kMaxBlockBytes);
    }
    EXPECT_LT(block.memory_type, caps.memory_type_count);
    expect_image_block_right(block, caps);
  }
  PlanCounts counts;
  auto scratch = std::make_unique<Plan>();
  ASSERT_TRUE(count_plan(model, caps, options, scratch.get(), &counts, nullptr).ok());
  EXPECT_EQ(counts.host_bytes, p->arena.used());
  EXPECT_EQ(counts.dispatches[0], p->plan.decode.dispatches.size());
  EXPECT_EQ(counts.dispatches[1], p->plan.prefill.dispatches.size());
}

PlanOptions random_options(Random* random, uint32_t context) {
  PlanOptions options;
  options.prefill_chunk = 1 + random->below(70);
  options.max_burst = 1 + random->below(40);
  options.context = 1 + random->below(context);
  options.logits = static_cast<LogitsMode>(random->below(3));
  options.floor_kernels = random->below(3) == 0;
  options.weights = static_cast<WeightMemory>(random->below(3));
  return options;
}

TEST(Plan, is_right_for_thousands_of_random_graphs_and_devices) {
  Random random(40);
  for (int round = 0; round < 2000 && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    const uint32_t context = 1 + random.below(700);
    ModelBuilder builder(1 + random.below(900), context, 1 + random.below(64));
    builder.random_graph(&random, 1 + random.below(24));
    const Model model = builder.build();
    Error error;
    ASSERT_TRUE(check_ops(model, &error).ok()) << text_of(error);
    expect_plan_right(model, random_caps(&random), random_options(&random, context));
  }
}

TEST(Plan, is_right_for_random_decoders) {
  Random random(41);
  for (int round = 0; round < 200 && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    const uint32_t context = 1 + random.below(700);
    ModelBuilder builder(32 + random.below(900), context, 1 + random.below(64));
    builder.decoder({.dim = 32 + random.below(300),
                     .layers = 1 + random.below(8),
                     .heads = 4,
                     .kv_heads = 1u << random.below(3),
                     .head_dim = 4 + 4 * random.below(16),
                     .ffn = 1 + random.below(500),
                     .group = 32u << random.below(4),
                     .fused = random.below(2) == 0});
    const Model model = builder.build();
    expect_plan_right(model, random_caps(&random), random_options(&random, context));
  }
}

TEST(Plan, joins_rope_and_attention_of_one_token_on_a_wide_device_only) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({.layers = 3});
  const Model model = builder.build();
  Random random(43);
  for (const DeviceKind kind : {DeviceKind::integrated, DeviceKind::discrete}) {
    Caps caps = random_caps(&random);
    caps.kind = kind;
    caps.features = kNoFeatures;
    caps.max_shared_bytes = 49152;
    caps.max_invocations = caps.max_workgroup_x = 256;
    const auto p = make_plan(model, caps, {});
    ASSERT_TRUE(p->status.ok()) << text_of(p->error);
    const auto count = [](const Phase& phase, VariantId id) {
      return std::count_if(phase.dispatches.begin(), phase.dispatches.end(), [&](const auto& d) {
        return d.call.variant == static_cast<uint16_t>(id);
      });
    };
    const bool wide = kind == DeviceKind::discrete;
    EXPECT_EQ(count(p->plan.decode, VariantId::sdpa_token), wide ? 3 : 0);
    EXPECT_EQ(count(p->plan.decode, VariantId::rope_update_cache_floor), wide ? 0 : 3);
    EXPECT_EQ(count(p->plan.prefill, VariantId::sdpa_token), 0);
    EXPECT_EQ(count(p->plan.prefill, VariantId::rope_update_cache_floor), 3);
  }
}

TEST(Plan, takes_at_most_two_percent_more_than_the_largest_live_set_of_a_decoder) {
  for (const bool fused : {true, false}) {
    for (const uint32_t chunk : {1u, 7u, 64u}) {
      ModelBuilder builder(512, 256, chunk);
      builder.decoder({.dim = 288,
                       .layers = 6,
                       .heads = 6,
                       .kv_heads = 6,
                       .head_dim = 48,
                       .ffn = 768,
                       .fused = fused});
      Random random(42);
      const auto p = make_plan(builder.build(), random_caps(&random), {.prefill_chunk = chunk});
      ASSERT_TRUE(p->status.ok()) << text_of(p->error);
      for (const Phase* phase : {&p->plan.decode, &p->plan.prefill}) {
        if (phase->dispatches.empty()) continue;
        EXPECT_LE(static_cast<double>(phase->activation_bytes),
                  1.02 * static_cast<double>(phase->lower_bound_bytes));
      }
    }
  }
}

TEST(Plan, cuts_a_head_larger_than_a_binding_into_windows) {
  // 262144 rows of 1152: 151 MB of nibbles, over the 128 MiB that a floor device binds.
  ModelBuilder builder(262144, 64, 4);
  builder.decoder({.dim = 1152, .layers = 1});
  Caps caps = floor_caps();
  caps.memory_type_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = 1ull << 33;
  const Model model = builder.build();
  expect_plan_right(model, caps, {});
  const auto p = make_plan(model, caps, {});
  uint32_t head_windows = 0;
  for (const Dispatch& d : p->plan.decode.dispatches) {
    if (d.op + 2 == model.op_count() && kVariants[d.call.variant].family != Family::rms_norm) {
      ++head_windows;
    }
  }
  EXPECT_GE(head_windows, 2u);
}

TEST(Plan, cuts_a_segment_larger_than_a_block_into_parts) {
  // 152064 rows of 3584: 272 MB of nibbles, over the 256 MiB of a block.
  ModelBuilder builder(152064, 64, 4);
  builder.decoder({.dim = 3584, .layers = 1});
  Random random(43);
  Caps caps = random_caps(&random);
  caps.max_storage_range_bytes = 1ull << 32;
  const Model model = builder.build();
  expect_plan_right(model, caps, {});
  const auto p = make_plan(model, caps, {});
  const bool cut = std::any_of(p->plan.segments.begin(), p->plan.segments.end(),
                               [](const SegmentPlace& s) { return s.part_bytes != 0; });
  EXPECT_TRUE(cut);
}

TEST(Plan, splits_a_dispatch_that_would_run_longer_than_the_limit) {
  ModelBuilder builder(4096, 64, 32);
  builder.decoder({.dim = 1024, .layers = 1});
  Random random(44);
  Caps caps = random_caps(&random);
  caps.gigabytes_per_s = 1;
  caps.gigaflops = 1;
  caps.dispatch_limit_us = 1000000;
  const auto whole = make_plan(builder.build(), caps, {});
  caps.dispatch_limit_us = 500;
  const auto split = make_plan(builder.build(), caps, {});
  ASSERT_TRUE(whole->status.ok() && split->status.ok());
  EXPECT_GT(split->plan.prefill.dispatches.size(), whole->plan.prefill.dispatches.size());
}

TEST(Plan, is_the_same_every_time) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({});
  Random random(45);
  const Caps caps = random_caps(&random);
  const auto a = make_plan(builder.build(), caps, {});
  const auto b = make_plan(builder.build(), caps, {});
  ASSERT_EQ(a->plan.decode.dispatches.size(), b->plan.decode.dispatches.size());
  for (size_t i = 0; i < a->plan.decode.dispatches.size(); ++i) {
    const Dispatch& x = a->plan.decode.dispatches[i];
    const Dispatch& y = b->plan.decode.dispatches[i];
    EXPECT_EQ(x.barrier_before, y.barrier_before);
    for (uint32_t k = 0; k < x.binding_count; ++k) {
      EXPECT_EQ(x.bindings[k].offset, y.bindings[k].offset);
    }
  }
}

TEST(Plan, needs_exactly_the_arena_it_says) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({});
  const Model model = builder.build();
  Random random(46);
  const Caps caps = random_caps(&random);
  PlanCounts counts;
  auto scratch = std::make_unique<Plan>();
  ASSERT_TRUE(count_plan(model, caps, {}, scratch.get(), &counts, nullptr).ok());
  EXPECT_TRUE(make_plan(model, caps, {}, counts.host_bytes)->status.ok());
  const auto less = make_plan(model, caps, {}, counts.host_bytes - 64);
  EXPECT_EQ(less->status.code(), Code::arena_full);
}

TEST(Plan, refuses_options_past_the_model_by_name) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({});
  const Model model = builder.build();
  Random random(47);
  const Caps caps = random_caps(&random);
  const auto long_context = make_plan(model, caps, {.context = 257});
  EXPECT_EQ(long_context->status.code(), Code::bad_argument);
  EXPECT_EQ(text_of(long_context->error), "argument context is 257; it must be at most 256");
  const auto chunk = make_plan(model, caps, {.prefill_chunk = 5000});
  EXPECT_EQ(chunk->status.code(), Code::bad_argument);
  const auto memory = make_plan(model, caps, {.device_memory_limit = 1000});
  EXPECT_EQ(memory->status.code(), Code::device_memory_full);
}

TEST(Plan, refuses_a_device_without_a_host_visible_memory_type) {
  ModelBuilder builder(512, 256, 16);
  builder.decoder({});
  Random random(48);
  Caps caps = random_caps(&random);
  caps.memory_type_count = 1;
  const auto p = make_plan(builder.build(), caps, {});
  EXPECT_EQ(p->status.code(), Code::no_memory_type);
}

}  // namespace
}  // namespace nbl::test
