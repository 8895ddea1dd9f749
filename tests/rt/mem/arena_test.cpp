// Could break: slices that overlap or lie outside, sums that wrap, setup space not given back.
#include "rt/mem/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace {

using nbl::Arena;
using nbl::Code;
using nbl::Error;

struct alignas(64) Block {
  std::byte bytes[4096];
};

struct WithDefaults {
  uint32_t one = 1;
  uint64_t zero = 0;
  uint16_t plain[3] = {};
};

TEST(Arena, says_how_much_more_than_4_GiB_is_wanted) {
  Block block;
  Arena arena(block.bytes);
  std::span<std::byte> out;
  Error error;
  EXPECT_EQ(arena.take((uint64_t{1} << 32) + 8, 1, &out, &error).code(), Code::arena_full);
  EXPECT_EQ(error.value, (uint64_t{1} << 32) + 8);
  EXPECT_EQ(arena.take_setup((uint64_t{1} << 32) + 8, 1, &out, &error).code(), Code::arena_full);
  EXPECT_EQ(error.value, (uint64_t{1} << 32) + 8);
  EXPECT_EQ(arena.used(), 0u);
}

TEST(Arena, gives_persistent_slices_from_the_front_and_setup_slices_from_the_back) {
  Block block;
  Arena arena(block.bytes);
  std::span<std::byte> front, back, second;
  ASSERT_TRUE(arena.take(100, 1, &front, nullptr).ok());
  ASSERT_TRUE(arena.take_setup(50, 1, &back, nullptr).ok());
  ASSERT_TRUE(arena.take(20, 8, &second, nullptr).ok());
  EXPECT_EQ(front.data(), block.bytes);
  EXPECT_EQ(front.size(), 100u);
  EXPECT_EQ(back.data(), block.bytes + 4046);
  EXPECT_EQ(second.data(), block.bytes + 104);
  EXPECT_EQ(arena.used(), 174u);
  EXPECT_EQ(arena.capacity(), 4096u);
}

TEST(Arena, seal_gives_setup_back_and_keeps_the_peak) {
  Block block;
  Arena arena(block.bytes);
  std::span<std::byte> slice;
  ASSERT_TRUE(arena.take(1000, 1, &slice, nullptr).ok());
  ASSERT_TRUE(arena.take_setup(2000, 1, &slice, nullptr).ok());
  EXPECT_FALSE(arena.sealed());
  arena.seal();
  EXPECT_TRUE(arena.sealed());
  EXPECT_EQ(arena.used(), 1000u);
  EXPECT_EQ(arena.peak(), 3000u);
}

TEST(Arena, rejects_a_request_past_the_end_and_says_what_it_would_take) {
  Block block;
  Arena arena(block.bytes);
  std::span<std::byte> slice;
  ASSERT_TRUE(arena.take(4000, 1, &slice, nullptr).ok());
  const std::span<std::byte> kept = slice;
  Error error;
  const nbl::Status status = arena.take(100, 64, &slice, &error, "plan");
  EXPECT_EQ(status.code(), Code::arena_full);
  EXPECT_STREQ(error.name, "plan");
  EXPECT_EQ(error.value, 4032u + 100u);
  EXPECT_EQ(error.limit, 4096u);
  EXPECT_EQ(slice.data(), kept.data());
  EXPECT_EQ(slice.size(), kept.size());
  EXPECT_EQ(arena.used(), 4000u);
  ASSERT_TRUE(arena.take(96, 1, &slice, nullptr).ok());
  EXPECT_EQ(arena.used(), arena.capacity());
  EXPECT_TRUE(arena.take(0, 1, &slice, nullptr).ok());
  EXPECT_TRUE(arena.take_setup(0, 1, &slice, nullptr).ok());
  EXPECT_FALSE(arena.take_setup(1, 1, &slice, nullptr).ok());
}

TEST(Arena, sizes_near_the_end_of_size_t_fail_and_do_not_wrap) {
  Block block;
  Arena arena(block.bytes);
  std::span<std::byte> slice;
  ASSERT_TRUE(arena.take(3, 1, &slice, nullptr).ok());
  constexpr size_t kMost = std::numeric_limits<size_t>::max();
  for (size_t less = 0; less < 5000; ++less) {
    for (const size_t align : {size_t{1}, size_t{64}, size_t{4096}}) {
      Error error;
      ASSERT_EQ(arena.take(kMost - less, align, &slice, &error).code(), Code::arena_full);
      ASSERT_GE(error.value, kMost - less);
      ASSERT_EQ(arena.take_setup(kMost - less, align, &slice, &error).code(), Code::arena_full);
      ASSERT_GE(error.value, kMost - less);
    }
  }
  std::span<uint64_t> array;
  for (const size_t count : {kMost, kMost / 8, kMost / 8 + 1, kMost / 8 + 2}) {
    EXPECT_EQ(arena.take_array(count, &array, nullptr).code(), Code::arena_full) << count;
    EXPECT_EQ(arena.take_setup_array(count, &array, nullptr).code(), Code::arena_full) << count;
  }
  EXPECT_EQ(arena.used(), 3u);
}

TEST(Arena, arrays_are_value_initialised_on_a_dirty_block) {
  Block block;
  memset(block.bytes, 0xa5, sizeof block.bytes);
  Arena arena(block.bytes);
  std::span<WithDefaults> persistent, setup;
  std::span<uint32_t> words;
  ASSERT_TRUE(arena.take_array(7, &persistent, nullptr).ok());
  ASSERT_TRUE(arena.take_setup_array(5, &setup, nullptr).ok());
  ASSERT_TRUE(arena.take_array(3, &words, nullptr).ok());
  ASSERT_EQ(persistent.size(), 7u);
  ASSERT_EQ(setup.size(), 5u);
  for (const std::span<WithDefaults> span : {persistent, setup}) {
    for (const WithDefaults& element : span) {
      EXPECT_EQ(element.one, 1u);
      EXPECT_EQ(element.zero, 0u);
      EXPECT_EQ(element.plain[2], 0u);
    }
  }
  for (const uint32_t word : words)
    EXPECT_EQ(word, 0u);
}

TEST(Arena, an_empty_arena_gives_only_empty_slices) {
  Arena arena;
  std::span<std::byte> slice;
  Error error;
  EXPECT_TRUE(arena.take(0, 1, &slice, &error).ok());
  EXPECT_EQ(arena.take(1, 1, &slice, &error).code(), Code::arena_full);
  EXPECT_EQ(error.value, 1u);
  EXPECT_EQ(error.limit, 0u);
}

// Any order of requests on a block at any address: slices are aligned, inside and apart, and a
// request fails exactly where its bytes and padding do not fit.
TEST(Arena, random_requests_never_overlap) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  static Block block;
  for (int round = 0; round < 2000; ++round) {
    const size_t shift = random() % 64;
    const size_t size = random() % (4096 - shift);
    Arena arena({block.bytes + shift, size});
    std::vector<std::pair<uintptr_t, uintptr_t>> taken;
    uintptr_t low = reinterpret_cast<uintptr_t>(block.bytes + shift);
    uintptr_t high = low + size;
    for (int i = 0; i < 40; ++i) {
      const size_t bytes = random() % 4 == 0 ? random() % 1000 : random() % 60;
      const size_t align = size_t{1} << (random() % 9);
      const bool setup = random() % 3 == 0;
      const uintptr_t start =
          setup ? (high - bytes) / align * align : (low + align - 1) / align * align;
      const bool fits = setup ? start >= low && start <= high : start + bytes <= high;
      std::span<std::byte> slice;
      const nbl::Status status = setup ? arena.take_setup(bytes, align, &slice, nullptr)
                                       : arena.take(bytes, align, &slice, nullptr);
      ASSERT_EQ(status.ok(), fits);
      if (!fits) continue;
      ASSERT_EQ(reinterpret_cast<uintptr_t>(slice.data()), start);
      ASSERT_EQ(slice.size(), bytes);
      (setup ? high : low) = setup ? start : start + bytes;
      for (const auto& [begin, end] : taken)
        ASSERT_TRUE(start >= end || start + bytes <= begin);
      taken.emplace_back(start, start + bytes);
    }
  }
}

// The exact size is enough and one byte less is not, wherever the block ends.
TEST(Arena, every_size_below_the_needed_one_fails_cleanly) {
  static Block block;
  const auto set_up = [](Arena* arena) -> nbl::Status {
    std::span<std::byte> slice;
    std::span<uint64_t> words;
    NBL_TRY(arena->take(3, 1, &slice, nullptr));
    NBL_TRY(arena->take_array(20, &words, nullptr));
    NBL_TRY(arena->take_setup_array(10, &words, nullptr));
    return arena->take(1, 64, &slice, nullptr);
  };
  size_t size = 0;
  for (; size <= sizeof block.bytes; ++size) {
    Arena arena({block.bytes, size});
    const nbl::Status status = set_up(&arena);
    if (status.ok()) break;
    ASSERT_EQ(status.code(), Code::arena_full);
  }
  EXPECT_EQ(size, 192u + 1u + 80u + 7u);
}

}  // namespace
