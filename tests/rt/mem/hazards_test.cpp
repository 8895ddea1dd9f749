// Could break: a conflicting pair left without a barrier, or more barriers than the order needs.
#include "rt/mem/hazards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace {

using nbl::Access;
using nbl::DispatchAccesses;

Access read(uint32_t block, uint64_t begin, uint64_t end) {
  return {.begin = begin, .end = end, .block = block, .read = true, .write = false};
}
Access write(uint32_t block, uint64_t begin, uint64_t end) {
  return {.begin = begin, .end = end, .block = block, .read = false, .write = true};
}

DispatchAccesses dispatch(std::initializer_list<Access> accesses) {
  DispatchAccesses result;
  for (const Access& access : accesses)
    result.accesses[result.count++] = access;
  return result;
}

// std::vector<bool> has no span.
struct Flags {
  explicit Flags(size_t size) : bits(new bool[size]()), count(size) {}
  std::span<bool> span() { return {bits.get(), count}; }
  std::unique_ptr<bool[]> bits;
  size_t count;
};

std::vector<bool> derive(const std::vector<DispatchAccesses>& dispatches) {
  std::vector<Access> scratch(nbl::hazard_scratch_count(dispatches.size()));
  Flags before(dispatches.size());
  const uint32_t count = nbl::derive_barriers(dispatches, scratch, before.span());
  std::vector<bool> result(before.span().begin(), before.span().end());
  EXPECT_EQ(count, std::count(result.begin(), result.end(), true));
  EXPECT_TRUE(nbl::check_barriers(dispatches, before.span()));
  EXPECT_TRUE(nbl::every_barrier_is_needed(dispatches, before.span()));
  return result;
}

using Bits = std::vector<bool>;

TEST(Hazards, a_read_after_a_write_needs_a_barrier) {
  EXPECT_EQ(derive({dispatch({write(0, 0, 256)}), dispatch({read(0, 255, 300)})}),
            (Bits{false, true}));
}

TEST(Hazards, a_write_after_a_read_needs_a_barrier) {
  EXPECT_EQ(derive({dispatch({read(0, 0, 256)}), dispatch({write(0, 0, 1)})}), (Bits{false, true}));
}

TEST(Hazards, a_write_after_a_write_needs_a_barrier) {
  EXPECT_EQ(derive({dispatch({write(0, 0, 256)}), dispatch({write(0, 128, 512)})}),
            (Bits{false, true}));
}

TEST(Hazards, reads_and_ranges_that_only_touch_and_other_blocks_need_none) {
  EXPECT_EQ(derive({dispatch({read(0, 0, 256), write(0, 256, 512)}),
                    dispatch({read(0, 0, 256), write(0, 512, 768)}),
                    dispatch({read(0, 100, 200), write(1, 0, 4096)}),
                    dispatch({write(0, 900, 900), read(0, 768, 800)})}),
            (Bits{false, false, false, false}));
}

TEST(Hazards, accesses_of_one_dispatch_do_not_conflict_with_each_other) {
  EXPECT_EQ(derive({dispatch({read(0, 0, 256), write(0, 0, 256)})}), (Bits{false}));
}

TEST(Hazards, one_barrier_serves_every_pair_around_it) {
  // Two independent chains side by side: one barrier a stage, not one a chain.
  EXPECT_EQ(derive({dispatch({write(0, 0, 16)}), dispatch({write(0, 16, 32)}),
                    dispatch({read(0, 0, 16), write(0, 32, 48)}),
                    dispatch({read(0, 16, 32), write(0, 48, 64)}), dispatch({read(0, 32, 64)})}),
            (Bits{false, false, true, false, true}));
}

TEST(Hazards, no_dispatch_and_one_dispatch_need_none) {
  EXPECT_EQ(derive({}), Bits{});
  EXPECT_EQ(derive({dispatch({write(3, 0, 10)})}), Bits{false});
}

TEST(Hazards, a_barrier_from_elsewhere_forgets_what_was_before) {
  Access pending[8];
  nbl::HazardTracker tracker(pending);
  const Access out = write(0, 0, 16);
  const Access in = read(0, 0, 16);
  EXPECT_FALSE(tracker.next({&out, 1}));
  tracker.barrier();
  EXPECT_FALSE(tracker.next({&in, 1}));
  EXPECT_TRUE(tracker.next({&out, 1}));
}

TEST(Hazards, the_oracle_sees_a_missing_and_a_needless_barrier) {
  const std::vector<DispatchAccesses> chain = {
      dispatch({write(0, 0, 16)}), dispatch({read(1, 0, 16)}), dispatch({read(0, 8, 24)})};
  const bool none[] = {false, false, false};
  const bool first[] = {true, false, false};
  const bool second[] = {false, true, false};
  const bool third[] = {false, false, true};
  const bool two[] = {false, true, true};
  EXPECT_FALSE(nbl::check_barriers(chain, none));
  EXPECT_FALSE(nbl::check_barriers(chain, first));
  EXPECT_TRUE(nbl::check_barriers(chain, second));
  EXPECT_TRUE(nbl::check_barriers(chain, third));
  EXPECT_TRUE(nbl::check_barriers(chain, two));
  EXPECT_TRUE(nbl::every_barrier_is_needed(chain, third));
  EXPECT_FALSE(nbl::every_barrier_is_needed(chain, two));
}

DispatchAccesses random_dispatch(std::mt19937* random, uint32_t blocks, uint64_t bytes) {
  DispatchAccesses result;
  result.count = 1 + (*random)() % 8;
  for (uint32_t i = 0; i < result.count; ++i) {
    Access& access = result.accesses[i];
    const uint64_t a = (*random)() % bytes;
    const uint64_t b = (*random)() % bytes;
    access.begin = std::min(a, b);
    access.end = std::min(std::max(a, b), access.begin + 1 + (*random)() % 64);
    access.block = (*random)() % blocks;
    access.write = (*random)() % 3 == 0;
    access.read = !access.write || (*random)() % 2 == 0;
  }
  return result;
}

// The fewest barriers over all 2^n placements.
uint32_t fewest(const std::vector<DispatchAccesses>& dispatches) {
  const size_t count = dispatches.size();
  uint32_t best = static_cast<uint32_t>(count);
  for (uint32_t mask = 0; mask < (1u << count); ++mask) {
    const uint32_t barriers = static_cast<uint32_t>(__builtin_popcount(mask));
    if (barriers >= best) continue;
    Flags before(count);
    for (size_t i = 0; i < count; ++i)
      before.bits[i] = ((mask >> i) & 1) != 0;
    if (nbl::check_barriers(dispatches, before.span())) best = barriers;
  }
  return best;
}

TEST(Hazards, random_sequences_get_the_fewest_barriers) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 1000; ++round) {
    std::vector<DispatchAccesses> dispatches(random() % 9);
    const uint32_t blocks = 1 + random() % 3;
    const uint64_t bytes = 64 + random() % 4000;
    for (DispatchAccesses& d : dispatches)
      d = random_dispatch(&random, blocks, bytes);
    const Bits before = derive(dispatches);
    ASSERT_EQ(std::count(before.begin(), before.end(), true), fewest(dispatches));
  }
}

TEST(Hazards, long_random_sequences_are_ordered_and_every_barrier_is_needed) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::vector<DispatchAccesses> dispatches(20 + random() % 60);
    const uint64_t bytes = 500 + random() % 200000;
    for (DispatchAccesses& d : dispatches)
      d = random_dispatch(&random, 2, bytes);
    derive(dispatches);
    if (HasFailure()) return;
  }
}

TEST(Hazards, too_little_scratch_costs_barriers_but_stays_right) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    std::vector<DispatchAccesses> dispatches(20);
    for (DispatchAccesses& d : dispatches)
      d = random_dispatch(&random, 2, 100000);
    std::vector<Access> scratch(8 + random() % 20);
    Flags before(dispatches.size());
    nbl::derive_barriers(dispatches, scratch, before.span());
    ASSERT_TRUE(nbl::check_barriers(dispatches, before.span()));
  }
}

TEST(Hazards, a_decoder_layer_needs_a_barrier_a_dispatch) {
  // Blocks: 0 activations, 1 KV cache, 2 weights. norm+qkv, rope+cache, attention, o, gate-up,
  // down.
  const uint64_t kX = 0, kQkv = 1024, kQ = 4096, kMix = 5120, kHidden = 6144;
  std::vector<DispatchAccesses> dispatches;
  for (int layer = 0; layer < 4; ++layer) {
    dispatches.push_back(
        dispatch({read(0, kX, kX + 1024), read(2, 0, 9), write(0, kQkv, kQkv + 3072)}));
    dispatches.push_back(dispatch({read(0, kQkv, kQkv + 3072), write(0, kQ, kQ + 1024),
                                   write(1, 0, 4096), write(1, 4096, 8192)}));
    dispatches.push_back(dispatch({read(0, kQ, kQ + 1024), read(1, 0, 4096), read(1, 4096, 8192),
                                   write(0, kMix, kMix + 1024)}));
    dispatches.push_back(dispatch({read(0, kMix, kMix + 1024), read(2, 9, 18),
                                   read(0, kX, kX + 1024), write(0, kX, kX + 1024)}));
    dispatches.push_back(
        dispatch({read(0, kX, kX + 1024), read(2, 18, 27), write(0, kHidden, kHidden + 2048)}));
    dispatches.push_back(dispatch(
        {read(0, kHidden, kHidden + 2048), read(0, kX, kX + 1024), write(0, kX, kX + 1024)}));
  }
  const Bits before = derive(dispatches);
  EXPECT_EQ(std::count(before.begin(), before.end(), true),
            static_cast<long>(dispatches.size()) - 1);
}

}  // namespace
