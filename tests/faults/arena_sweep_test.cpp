// Could break: an arena or a pool that is too small crashes the driver or the runtime, is not named
// as the reason, or the size that nbl_memory_needed() tells is not the size that works.
#include <gtest/gtest.h>

#include "tests/support/fault_rig.h"

namespace nbl {
namespace {

using test::sentence;

class ArenaSweep : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    model_ = test::tiny_model(false);
    config_ = test::fault_config(model_);
    config_.driver_pool_bytes = 4u << 20;
    nbl_error error = {};
    ASSERT_EQ(test::give_arena(&config_, &arena_, &memory_, &error), 0u) << sentence(error);
  }

  // The status's name; "ok" after a story and a close.
  std::string open(const nbl_config& config, nbl_error* error) {
    nbl_engine* engine = nullptr;
    nbl_status status = nbl_open(&config, &engine, error);
    EXPECT_EQ(status == 0, engine != nullptr);
    if (status != 0) {
      EXPECT_EQ(status, error->status);
      EXPECT_NE(sentence(*error), "");
      return nbl_status_name(status);
    }
    std::vector<uint32_t> tokens;
    status = test::short_story(engine, &tokens, error);
    EXPECT_EQ(status, 0u) << sentence(*error);
    nbl_close(engine);
    return nbl_status_name(status);
  }

  test::AlignedBytes model_;
  nbl_config config_ = {};
  nbl_memory memory_ = {};
  test::ExactBytes arena_{0};
};

TEST_F(ArenaSweep, any_size_below_what_is_needed_is_arena_full) {
  constexpr uint64_t kSteps = 60;
  std::vector<uint64_t> sizes;
  for (uint64_t i = 0; i < kSteps; ++i)
    sizes.push_back(memory_.host_bytes * i / kSteps);
  // What lies on top of the engine and the pool is a small part of the whole: once more in detail.
  for (uint64_t below = 64; below < 4096 && below < memory_.host_bytes; below += 576)
    sizes.push_back(memory_.host_bytes - below);
  sizes.push_back(memory_.host_bytes - 1);
  for (const uint64_t size : sizes) {
    const test::ExactBytes arena(size);
    nbl_config config = config_;
    config.arena = arena.data.get();
    config.arena_bytes = arena.size;
    nbl_error error = {};
    EXPECT_EQ(open(config, &error), "arena_full") << size;
    EXPECT_EQ(error.limit, size);
    EXPECT_GT(error.value, error.limit) << size;
    EXPECT_LE(error.value, memory_.host_bytes) << size;
  }
}

TEST_F(ArenaSweep, exactly_what_is_needed_is_enough_and_more_is_no_worse) {
  nbl_error error = {};
  EXPECT_EQ(open(config_, &error), "ok") << sentence(error);
  for (const uint64_t more : {1u, 63u, 64u, 4097u}) {
    const test::ExactBytes arena(memory_.host_bytes + more);
    nbl_config config = config_;
    config.arena = arena.data.get();
    config.arena_bytes = arena.size;
    EXPECT_EQ(open(config, &error), "ok") << more << ": " << sentence(error);
  }
}

TEST_F(ArenaSweep, a_pool_too_small_for_the_driver_is_named) {
  std::string last;
  for (uint32_t pool = 0x1000; pool <= (8u << 20); pool *= 2) {
    nbl_config config = config_;
    config.driver_pool_bytes = pool;
    test::ExactBytes arena(0);
    nbl_memory memory = {};
    nbl_error error = {};
    ASSERT_EQ(test::give_arena(&config, &arena, &memory, &error), 0u);
    last = open(config, &error);
    if (last == "ok") continue;
    EXPECT_EQ(last, "driver_pool_full") << pool << ": " << sentence(error);
    EXPECT_GT(error.value, 0u);
    EXPECT_LE(error.limit, pool);
    EXPECT_GT(error.limit, pool - 64);
  }
  EXPECT_EQ(last, "ok");
}

TEST_F(ArenaSweep, nbl_memory_needed_says_what_it_lacks) {
  bool enough = false;
  for (size_t size = 0; size <= (size_t{16} << 20); size = size == 0 ? 512 : size * 2) {
    const test::ExactBytes arena(size);
    nbl_config config = config_;
    config.arena = arena.data.get();
    config.arena_bytes = arena.size;
    nbl_memory memory = {};
    nbl_error error = {};
    const nbl_status status = nbl_memory_needed(&config, &memory, &error);
    const std::string name = nbl_status_name(status);
    EXPECT_FALSE(enough && status != 0) << "more is worse at " << size << ": " << sentence(error);
    enough = status == 0;
    if (enough) {
      EXPECT_EQ(memory.host_bytes, memory_.host_bytes) << "the answer depends on the probe";
    } else {
      EXPECT_TRUE(name == "arena_full" || name == "driver_pool_full") << size << ": " << name;
      EXPECT_LE(error.limit, size);
    }
  }
  EXPECT_TRUE(enough);
}

TEST_F(ArenaSweep, any_device_memory_limit_below_what_is_needed_is_refused) {
  constexpr uint64_t kSteps = 40;
  for (uint64_t i = 1; i <= kSteps; ++i) {
    nbl_config config = config_;
    config.device_memory_limit = memory_.device_bytes * i / kSteps;
    nbl_error error = {};
    const std::string name = open(config, &error);
    EXPECT_EQ(name, i == kSteps ? "ok" : "device_memory_full") << sentence(error);
    if (i == kSteps) break;
    EXPECT_EQ(error.limit, config.device_memory_limit);
    EXPECT_EQ(error.value, memory_.device_bytes);
  }
}

TEST_F(ArenaSweep, an_arena_at_an_odd_address_is_refused) {
  nbl_config config = config_;
  config.arena = arena_.data.get() + 8;
  config.arena_bytes = arena_.size - 8;
  nbl_error error = {};
  EXPECT_EQ(open(config, &error), "bad_argument");
}

}  // namespace
}  // namespace nbl
