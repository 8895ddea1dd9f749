// Could break: memory of the host's or the device's that is too small crashes the driver or the
// runtime, is not named as the reason, or what nbl_memory_needed() says is not what works.
#include <gtest/gtest.h>

#include "boards/boards.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"
#include "tests/support/figure.h"

namespace nbl::test {
namespace {

// Sizes from 0 to `most`, finely, and finer towards the end.
std::vector<uint64_t> sizes_below(uint64_t most, uint64_t steps) {
  std::vector<uint64_t> sizes;
  for (uint64_t i = 0; i < steps; ++i)
    sizes.push_back(most * i / steps);
  for (uint64_t below = 4096; below >= 64; below -= 64) {
    if (below < most) sizes.push_back(most - below);
  }
  sizes.push_back(most - 1);
  return sizes;
}

class Sweep : public testing::Test {
 protected:
  Sweep() : life_(find_board("rpi5")->caps, fake_model("fused").file, NBL_FLAG_TIMESTAMPS) {}

  void SetUp() override {
    life_.learn();
    life_.vulkan.look_for_hazards(false);
  }

  std::string run(nbl_error* error) {
    life_.vulkan.forget();
    life_.vulkan.leave_bytes(left_);
    *error = {};
    const std::string name = nbl_status_name(life_.run(error));
    life_.expect_clean(name);
    if (name == "ok") {
      EXPECT_EQ(life_.tokens, life_.expected);
    }
    return name;
  }

  FakeLife life_;
  uint64_t left_ = ~uint64_t{0};
};

TEST_F(Sweep, of_the_arena_says_what_is_missing_at_every_size) {
  const uint64_t needed = life_.memory.host_bytes;
  const std::vector<uint64_t> sizes = sizes_below(needed, 1500);
  for (const uint64_t size : sizes) {
    const ExactBytes arena(static_cast<size_t>(size));
    life_.config.arena = arena.data.get();
    life_.config.arena_bytes = arena.size;
    nbl_error error = {};
    ASSERT_EQ(run(&error), "arena_full") << size;
    EXPECT_EQ(error.limit, size);
    EXPECT_GT(error.value, size);
    EXPECT_LE(error.value, needed);
  }
  for (const uint64_t more : {0u, 1u, 63u, 64u, 4097u}) {
    const ExactBytes arena(static_cast<size_t>(needed + more));
    life_.config.arena = arena.data.get();
    life_.config.arena_bytes = arena.size;
    nbl_error error = {};
    EXPECT_EQ(run(&error), "ok") << more << ": " << sentence(error);
  }
  figure("arena sizes swept: " + with_commas(sizes.size() + 5) + ", " + with_commas(needed) +
         " bytes needed");
}

// The pool's own room for blocks decides where it is enough, so that is found by trying.
TEST_F(Sweep, of_the_pool_names_the_pool_until_the_driver_has_enough) {
  uint32_t enough = 0;
  uint32_t tried = 0;
  for (uint32_t pool = 64; enough == 0 && pool < (1u << 20); pool += 256) {
    life_.config.driver_pool_bytes = pool;
    life_.config.arena_bytes = 0;
    nbl_error error = {};
    life_.vulkan.forget();
    ASSERT_EQ(life_.measure(&error), 0u) << sentence(error);
    const std::string name = run(&error);
    ++tried;
    if (name == "ok") {
      enough = pool;
    } else {
      ASSERT_EQ(name, "driver_pool_full") << pool << ": " << sentence(error);
      EXPECT_LE(error.limit, pool);
    }
  }
  EXPECT_GT(enough, 0u);
  figure("pool sizes swept: " + with_commas(tried) + ", " + with_commas(enough) +
         " bytes are enough");
}

TEST_F(Sweep, of_host_allocations_that_fail_leaves_nothing) {
  nbl_error error = {};
  ASSERT_EQ(run(&error), "ok");
  const uint64_t allocations = life_.vulkan.host_allocations();
  ASSERT_GT(allocations, 50u);
  for (uint64_t k = 1; k <= allocations; ++k) {
    life_.vulkan.forget();
    life_.vulkan.fail_host_allocation(k);
    EXPECT_STREQ(nbl_status_name(life_.run(&error)), "vulkan_call") << k << sentence(error);
    EXPECT_EQ(error.value, static_cast<uint64_t>(-VK_ERROR_OUT_OF_HOST_MEMORY)) << k;
    life_.expect_clean("allocation " + std::to_string(k));
  }
  EXPECT_EQ(run(&error), "ok");
  figure("host allocations that failed: " + with_commas(allocations));
}

TEST_F(Sweep, of_what_others_leave_of_the_device_names_what_did_not_fit) {
  const uint64_t needed = life_.memory.device_bytes;
  const std::vector<uint64_t> sizes = sizes_below(needed, 300);
  for (const uint64_t size : sizes) {
    left_ = size;
    nbl_error error = {};
    ASSERT_EQ(run(&error), "device_memory_full") << size;
    EXPECT_GT(error.value, 0u);
    EXPECT_NE(std::string(error.name), "");
  }
  left_ = needed;
  nbl_error error = {};
  EXPECT_EQ(run(&error), "ok") << sentence(error);
  EXPECT_EQ(life_.vulkan.peak_device_bytes(), needed);
  figure("device memory sizes swept: " + with_commas(sizes.size() + 1) + ", " +
         with_commas(needed) + " bytes needed");
}

TEST_F(Sweep, of_limits_to_device_memory_says_what_is_needed) {
  const uint64_t needed = life_.memory.device_bytes;
  for (const uint64_t size : sizes_below(needed, 300)) {
    if (size == 0) continue;  // no limit
    life_.config.device_memory_limit = size;
    nbl_error error = {};
    ASSERT_EQ(run(&error), "device_memory_full") << size;
    EXPECT_EQ(error.value, needed);
    EXPECT_EQ(error.limit, size);
  }
  life_.config.device_memory_limit = needed;
  nbl_error error = {};
  EXPECT_EQ(run(&error), "ok") << sentence(error);
}

// The heap itself is that small, and says so.
TEST(HeapSweep, of_heaps_refuses_the_plan_with_what_is_needed) {
  Caps caps = find_board("rpi5")->caps;
  FakeLife roomy(caps, fake_model("fused").file);
  roomy.learn();
  const uint64_t needed = roomy.memory.device_bytes;
  std::vector<uint64_t> sizes = sizes_below(needed, 100);
  sizes.push_back(needed);
  for (const uint64_t size : sizes) {
    caps.memory_heap_bytes[0] = size;
    FakeLife life(caps, fake_model("fused").file);
    nbl_error error = {};
    const nbl_status status = life.measure(&error);
    if (size == needed) {
      ASSERT_EQ(status, 0u) << sentence(error);
      EXPECT_EQ(life.run(&error), 0u) << sentence(error);
      EXPECT_EQ(life.tokens, roomy.expected);
    } else {
      ASSERT_STREQ(nbl_status_name(status), "device_memory_full") << size;
      EXPECT_EQ(error.value, needed) << size;
      EXPECT_EQ(error.limit, size);
    }
    life.expect_clean(std::to_string(size));
  }
}

// With weights on their way through the window, that is device memory too while nbl_open() lasts.
TEST(HeapSweep, counts_the_staging_window_on_top) {
  FakeLife life(find_board("rpi5")->caps, fake_model("fused").file, NBL_FLAG_STAGE_WEIGHTS);
  life.learn();
  EXPECT_GT(life.memory.staging_bytes, 0u);
  EXPECT_EQ(life.vulkan.peak_device_bytes(), life.memory.device_bytes + life.memory.staging_bytes);
}

}  // namespace
}  // namespace nbl::test
