// Could break: blocks that overlap or lose their contents, free space lost to fragmentation that
// coalescing should undo, counters that drift, two threads in one list.
#include "rt/mem/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

using nbl::Pool;
using nbl::PoolScope;
using nbl::PoolStats;

constexpr size_t kHeader = 8;

uint64_t block_bytes(size_t bytes) {
  return (bytes + kHeader + 15) / 16 * 16;
}

struct Fixture {
  explicit Fixture(size_t size, size_t shift = 0) : bytes(size + shift, std::byte{0xcd}) {
    pool.init(std::span(bytes).subspan(shift));
  }
  std::vector<std::byte> bytes;
  Pool pool;
};

TEST(Pool, a_pool_without_a_block_is_full) {
  Pool pool;
  EXPECT_EQ(pool.allocate(1, 1, PoolScope::object), nullptr);
  EXPECT_EQ(pool.stats().all.failures, 1u);
  EXPECT_TRUE(pool.check());
  pool.free(nullptr);
  for (size_t size = 0; size < 200; ++size) {
    for (size_t shift = 0; shift < 16; ++shift) {
      Fixture fixture(size, shift);
      ASSERT_TRUE(fixture.pool.check());
      const size_t most = fixture.pool.stats().capacity_bytes;
      ASSERT_LE(most + kHeader, std::max<size_t>(size, kHeader));
      ASSERT_TRUE(most == 0 || most + 8 + 15 + 16 > size);
      void* memory =
          most == 0 ? nullptr : fixture.pool.allocate(most - kHeader, 16, PoolScope::object);
      ASSERT_EQ(memory != nullptr, most != 0);
      ASSERT_EQ(fixture.pool.allocate(1, 1, PoolScope::object), nullptr);
      if (memory != nullptr) memset(memory, 0xff, most - kHeader);
      ASSERT_TRUE(fixture.pool.check());
      fixture.pool.free(memory);
      ASSERT_TRUE(fixture.pool.check());
    }
  }
}

TEST(Pool, zero_bytes_give_memory_of_their_own) {
  Fixture fixture(65536);
  void* empty = fixture.pool.allocate(0, 8, PoolScope::object);
  EXPECT_NE(empty, nullptr);
  EXPECT_NE(fixture.pool.allocate(0, 8, PoolScope::object), empty);
  fixture.pool.free(empty);
  EXPECT_TRUE(fixture.pool.check());
}

TEST(Pool, bad_alignments_give_null) {
  Fixture fixture(65536);
  EXPECT_EQ(fixture.pool.allocate(8, 0, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.allocate(8, 24, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.allocate(8, 8192, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.stats().all.live_blocks, 0u);
}

TEST(Pool, requests_that_would_wrap_fail) {
  Fixture fixture(65536);
  const size_t kMost = std::numeric_limits<size_t>::max();
  void* memory = fixture.pool.allocate(100, 8, PoolScope::object);
  for (size_t less = 0; less < 64; ++less) {
    EXPECT_EQ(fixture.pool.allocate(kMost - less, 4096, PoolScope::object), nullptr);
    EXPECT_EQ(fixture.pool.reallocate(memory, kMost - less, 8, PoolScope::object), nullptr);
    // Where size_t has 64 bits: sizes that wrap in the pool's 32.
    const size_t past_32_bits = static_cast<size_t>(uint64_t{1} << 32);
    EXPECT_EQ(fixture.pool.allocate(past_32_bits - less - 1, 16, PoolScope::object), nullptr);
    if (past_32_bits != 0) {
      EXPECT_EQ(fixture.pool.allocate(past_32_bits + less, 16, PoolScope::object), nullptr);
    }
  }
  EXPECT_EQ(fixture.pool.stats().largest_failure_bytes, kMost);
  EXPECT_TRUE(fixture.pool.check());
  fixture.pool.free(memory);
}

TEST(Pool, every_alignment_up_to_a_page_is_met) {
  Fixture fixture(1 << 20, 3);
  std::vector<void*> all;
  for (size_t align = 1; align <= nbl::kPoolMaxAlignBytes; align *= 2) {
    for (size_t bytes : {1, 7, 16, 100, 5000}) {
      void* memory = fixture.pool.allocate(bytes, align, PoolScope::object);
      ASSERT_NE(memory, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % align, 0u);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 16, 0u);
      memset(memory, 0xee, bytes);
      all.push_back(memory);
      ASSERT_TRUE(fixture.pool.check());
    }
  }
  for (void* memory : all)
    fixture.pool.free(memory);
  EXPECT_TRUE(fixture.pool.check());
}

TEST(Pool, counts_by_scope_and_remembers_the_peak) {
  Fixture fixture(65536);
  void* a = fixture.pool.allocate(100, 8, PoolScope::command);
  void* b = fixture.pool.allocate(200, 8, PoolScope::device);
  void* c = fixture.pool.allocate(300, 8, PoolScope::device);
  EXPECT_EQ(fixture.pool.allocate(1 << 20, 8, PoolScope::instance), nullptr);
  fixture.pool.free(b);
  const PoolStats stats = fixture.pool.stats();
  const auto scope = [&](PoolScope of) { return stats.scopes[static_cast<size_t>(of)]; };
  EXPECT_EQ(scope(PoolScope::command).live_bytes, block_bytes(100));
  EXPECT_EQ(scope(PoolScope::device).live_bytes, block_bytes(300));
  EXPECT_EQ(scope(PoolScope::device).peak_bytes, block_bytes(200) + block_bytes(300));
  EXPECT_EQ(scope(PoolScope::device).live_blocks, 1u);
  EXPECT_EQ(scope(PoolScope::device).allocations, 2u);
  EXPECT_EQ(scope(PoolScope::instance).failures, 1u);
  EXPECT_EQ(scope(PoolScope::instance).live_bytes, 0u);
  EXPECT_EQ(stats.all.peak_bytes, block_bytes(100) + block_bytes(200) + block_bytes(300));
  EXPECT_EQ(stats.all.allocations, 3u);
  EXPECT_EQ(stats.largest_failure_bytes, uint64_t{1} << 20);
  fixture.pool.free(a);
  fixture.pool.free(c);
  EXPECT_EQ(fixture.pool.stats().all.live_bytes, 0u);
}

TEST(Pool, reallocate_moves_the_account_to_the_new_scope) {
  Fixture fixture(65536);
  void* memory = fixture.pool.allocate(100, 8, PoolScope::cache);
  memory = fixture.pool.reallocate(memory, 400, 8, PoolScope::object);
  ASSERT_NE(memory, nullptr);
  const PoolStats stats = fixture.pool.stats();
  EXPECT_EQ(stats.scopes[static_cast<size_t>(PoolScope::cache)].live_bytes, 0u);
  EXPECT_EQ(stats.scopes[static_cast<size_t>(PoolScope::object)].live_bytes, block_bytes(400));
  EXPECT_TRUE(fixture.pool.check());
  EXPECT_EQ(fixture.pool.reallocate(memory, 0, 8, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.stats().all.live_blocks, 0u);
}

TEST(Pool, a_failed_reallocate_leaves_the_old_memory_alone) {
  Fixture fixture(4096);
  auto* memory = static_cast<uint8_t*>(fixture.pool.allocate(1000, 8, PoolScope::object));
  memset(memory, 0x5a, 1000);
  EXPECT_EQ(fixture.pool.reallocate(memory, 5000, 8, PoolScope::device), nullptr);
  for (int i = 0; i < 1000; ++i)
    ASSERT_EQ(memory[i], 0x5a);
  EXPECT_EQ(fixture.pool.stats().scopes[static_cast<size_t>(PoolScope::object)].live_blocks, 1u);
  EXPECT_TRUE(fixture.pool.check());
}

TEST(Pool, grows_in_place_into_free_space_behind) {
  Fixture fixture(65536);
  void* memory = fixture.pool.allocate(1000, 8, PoolScope::object);
  EXPECT_EQ(fixture.pool.reallocate(memory, 60000, 8, PoolScope::object), memory);
  EXPECT_EQ(fixture.pool.reallocate(memory, 10, 8, PoolScope::object), memory);
  EXPECT_TRUE(fixture.pool.check());
  EXPECT_NE(fixture.pool.allocate(60000, 8, PoolScope::object), nullptr);
}

TEST(Pool, freed_neighbours_become_one_block_in_every_order) {
  Fixture fixture(65536);
  const size_t most = fixture.pool.stats().capacity_bytes - kHeader;
  std::vector<int> order = {0, 1, 2, 3, 4};
  do {
    void* memory[5];
    for (void*& m : memory)
      m = fixture.pool.allocate(1234, 64, PoolScope::object);
    for (const int i : order) {
      fixture.pool.free(memory[i]);
      ASSERT_TRUE(fixture.pool.check());
    }
    void* all = fixture.pool.allocate(most, 16, PoolScope::object);
    ASSERT_NE(all, nullptr);
    fixture.pool.free(all);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Pool, takes_any_hole_that_fits_even_where_its_list_does_not_promise_it) {
  // Sizes that share a list: the hole of 17 * 64 + 16 bytes is in the list of smaller ones.
  for (size_t hole = 32; hole < 5000; hole += 16) {
    Fixture fixture(65536);
    void* first = fixture.pool.allocate(hole - kHeader, 16, PoolScope::object);
    void* rest = fixture.pool.allocate(fixture.pool.stats().capacity_bytes - hole - kHeader, 16,
                                       PoolScope::object);
    ASSERT_NE(rest, nullptr);
    fixture.pool.free(first);
    EXPECT_EQ(fixture.pool.allocate(hole - kHeader, 16, PoolScope::object), first) << hole;
    EXPECT_EQ(fixture.pool.allocate(1, 1, PoolScope::object), nullptr);
  }
}

TEST(Pool, after_the_seal_requests_are_counted_and_can_be_refused) {
  Fixture fixture(65536);
  void* before = fixture.pool.allocate(100, 8, PoolScope::object);
  EXPECT_EQ(fixture.pool.stats().sealed_requests, 0u);
  fixture.pool.mark_sealed(false);
  void* after = fixture.pool.allocate(100, 8, PoolScope::command);
  EXPECT_NE(after, nullptr);
  after = fixture.pool.reallocate(after, 3000, 8, PoolScope::command);
  EXPECT_NE(after, nullptr);
  EXPECT_EQ(fixture.pool.stats().sealed_requests, 2u);
  EXPECT_EQ(fixture.pool.stats().sealed_refusals, 0u);
  fixture.pool.mark_sealed(true);
  EXPECT_EQ(fixture.pool.allocate(1, 1, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.reallocate(nullptr, 1, 1, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.reallocate(before, 200, 8, PoolScope::object), nullptr);
  const PoolStats stats = fixture.pool.stats();
  EXPECT_EQ(stats.sealed_requests, 5u);
  EXPECT_EQ(stats.sealed_refusals, 3u);
  EXPECT_EQ(stats.all.failures, 3u);
  EXPECT_EQ(stats.largest_failure_bytes, 0u);
  fixture.pool.free(before);
  fixture.pool.free(after);
  EXPECT_EQ(fixture.pool.stats().all.live_blocks, 0u);
  EXPECT_TRUE(fixture.pool.check());
  fixture.pool.init(fixture.bytes);
  EXPECT_NE(fixture.pool.allocate(1, 1, PoolScope::object), nullptr);
  EXPECT_EQ(fixture.pool.stats().sealed_requests, 0u);
}

// What the pool should hold: each block's bytes are known, and blocks do not overlap.
class Shadow {
 public:
  Shadow(size_t size, size_t shift, uint32_t seed) : fixture_(size, shift), random_(seed) {}

  void step() {
    const uint32_t what = random_() % 10;
    if (what < 5 || live_.empty()) {
      allocate();
    } else if (what < 7) {
      reallocate();
    } else {
      free_one();
    }
  }
  void free_all() {
    while (!live_.empty())
      free_one();
  }
  Pool& pool() { return fixture_.pool; }

  void compare() {
    ASSERT_TRUE(pool().check());
    uint64_t bytes = 0;
    for (const auto& [begin, block] : live_) {
      ASSERT_TRUE(intact(begin, block, block.bytes));
      bytes += block_bytes(block.bytes);
    }
    const PoolStats stats = pool().stats();
    ASSERT_EQ(stats.all.live_bytes, bytes);
    ASSERT_EQ(stats.all.live_blocks, live_.size());
    ASSERT_EQ(stats.all.failures, failures_);
    ASSERT_EQ(stats.all.allocations, allocations_);
    ASSERT_LE(stats.all.peak_bytes, stats.capacity_bytes);
  }

 private:
  struct Block {
    size_t bytes;
    size_t align;
    uint8_t fill;
  };

  size_t random_size() { return 1 + random_() % (size_t{1} << (random_() % 13)); }
  PoolScope random_scope() { return static_cast<PoolScope>(random_() % 5); }
  auto random_live() {
    auto it = live_.lower_bound(reinterpret_cast<uintptr_t>(fixture_.bytes.data()) +
                                random_() % fixture_.bytes.size());
    return it == live_.end() ? live_.begin() : it;
  }

  static bool intact(uintptr_t begin, const Block& block, size_t bytes) {
    const auto* at = reinterpret_cast<const uint8_t*>(begin);
    for (size_t i = 0; i < bytes; ++i) {
      if (at[i] != static_cast<uint8_t>(block.fill + i)) return false;
    }
    return true;
  }

  void add(void* memory, size_t bytes, size_t align) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
    ASSERT_EQ(begin % align, 0u);
    ASSERT_GE(begin, reinterpret_cast<uintptr_t>(fixture_.bytes.data()));
    ASSERT_LE(begin + bytes,
              reinterpret_cast<uintptr_t>(fixture_.bytes.data()) + fixture_.bytes.size());
    const auto next = live_.lower_bound(begin);
    ASSERT_TRUE(next == live_.end() || begin + bytes <= next->first);
    if (next != live_.begin()) {
      const auto previous = std::prev(next);
      ASSERT_LE(previous->first + previous->second.bytes, begin);
    }
    const uint8_t fill = static_cast<uint8_t>(random_());
    for (size_t i = 0; i < bytes; ++i) {
      static_cast<uint8_t*>(memory)[i] = static_cast<uint8_t>(fill + i);
    }
    live_[begin] = {bytes, align, fill};
  }

  void allocate() {
    const size_t bytes = random_size();
    const size_t align = size_t{1} << (random_() % 4 == 0 ? random_() % 13 : random_() % 5);
    void* memory = pool().allocate(bytes, align, random_scope());
    ++(memory == nullptr ? failures_ : allocations_);
    if (memory != nullptr) add(memory, bytes, align);
  }

  void reallocate() {
    const auto it = random_live();
    const uintptr_t begin = it->first;
    const Block block = it->second;
    const size_t bytes = random_size();
    void* memory =
        pool().reallocate(reinterpret_cast<void*>(begin), bytes, block.align, random_scope());
    ++(memory == nullptr ? failures_ : allocations_);
    if (memory == nullptr) return;
    ASSERT_TRUE(intact(reinterpret_cast<uintptr_t>(memory), block, std::min(bytes, block.bytes)));
    live_.erase(begin);
    add(memory, bytes, block.align);
  }

  void free_one() {
    const auto it = random_live();
    ASSERT_TRUE(intact(it->first, it->second, it->second.bytes));
    pool().free(reinterpret_cast<void*>(it->first));
    live_.erase(it);
  }

  Fixture fixture_;
  std::mt19937 random_;
  std::map<uintptr_t, Block> live_;
  uint64_t failures_ = 0;
  uint64_t allocations_ = 0;
};

TEST(Pool, random_sequences_agree_with_a_shadow_and_coalesce_to_one_block) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  for (uint32_t round = 0; round < 60; ++round) {
    Shadow shadow(4000 + 997 * round, round % 16, seed + round);
    for (int i = 0; i < 1500; ++i) {
      shadow.step();
      if (i % 50 == 0) shadow.compare();
      ASSERT_FALSE(testing::Test::HasFailure()) << "round " << round << " step " << i;
    }
    shadow.free_all();
    shadow.compare();
    const PoolStats stats = shadow.pool().stats();
    EXPECT_EQ(stats.all.live_bytes, 0u);
    EXPECT_NE(shadow.pool().allocate(stats.capacity_bytes - kHeader, 16, PoolScope::object),
              nullptr);
  }
}

TEST(Pool, threads_share_it) {
  Fixture fixture(1 << 20);
  std::vector<std::thread> threads;
  std::vector<int> damaged(4, 0);
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      std::vector<std::pair<uint8_t*, size_t>> mine;
      for (int i = 0; i < 5000; ++i) {
        if (mine.size() < 20) {
          const size_t bytes = 1 + random() % 2000;
          auto* memory =
              static_cast<uint8_t*>(fixture.pool.allocate(bytes, 16, static_cast<PoolScope>(t)));
          if (memory == nullptr) continue;
          memset(memory, static_cast<int>(t + 1), bytes);
          mine.emplace_back(memory, bytes);
        } else {
          const size_t pick = random() % mine.size();
          const auto [memory, bytes] = mine[pick];
          for (size_t b = 0; b < bytes; ++b)
            damaged[t] += memory[b] != t + 1 ? 1 : 0;
          fixture.pool.free(memory);
          mine.erase(mine.begin() + static_cast<long>(pick));
        }
      }
      for (const auto& [memory, bytes] : mine)
        fixture.pool.free(memory);
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  for (const int count : damaged)
    EXPECT_EQ(count, 0);
  EXPECT_EQ(fixture.pool.stats().all.live_bytes, 0u);
  EXPECT_TRUE(fixture.pool.check());
}

}  // namespace
