// Could break: how an engine takes and gives back memory: where weights lie, what the figures say,
// engines beside each other, an arena used twice, the driver's allocations and its pipeline cache.
#include "tests/support/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "rt/model/model.h"
#include "tests/support/compiled.h"
#include "tests/support/sampling_options.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kContext = 100;
constexpr uint32_t kVocab = 1301;
constexpr uint32_t kStagingBytes = 64 << 10;

// Its weights are several staging windows large.
const AlignedBytes& model_file() {
  static const AlignedBytes file = build_model(small_llama({.dim = 192,
                                                            .heads = 6,
                                                            .kv_heads = 2,
                                                            .ffn = 352,
                                                            .vocab = kVocab,
                                                            .context = kContext}),
                                               {.context = kContext, .prefill_chunk = 16});
  return file;
}

std::vector<uint32_t> prompt_of(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 71 + 5) % kVocab);
  return tokens;
}

class WholeEngine : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

TEST_F(WholeEngine, computes_the_same_bits_wherever_the_weights_lie) {
  std::vector<std::vector<float>> first;
  uint64_t weight_bytes = 0;
  for (const uint32_t flags :
       {uint32_t{NBL_FLAG_NO_IMPORT}, 0u, uint32_t{NBL_FLAG_STAGE_WEIGHTS},
        uint32_t{NBL_FLAG_STAGE_WEIGHTS | NBL_FLAG_NO_IMPORT | NBL_FLAG_VERIFY_HASHES}}) {
    TestEngine engine(model_file().span(),
                      {.flags = flags, .logits = NBL_LOGITS_ALL, .staging_bytes = kStagingBytes});
    auto rows = engine.logits_of(prompt_of(20), 16);
    rows.push_back(engine.logits_of(prompt_of(1), 1)[0]);
    const nbl_memory memory = engine.info().memory;
    if (first.empty()) {
      first = rows;
      weight_bytes = memory.weight_bytes;
      EXPECT_GT(weight_bytes, 2u * kStagingBytes);
    }
    EXPECT_EQ(rows, first) << "flags " << flags;
    // Each weight lies in one place.
    EXPECT_TRUE(memory.imported_bytes == 0 || memory.weight_bytes == 0) << "flags " << flags;
    EXPECT_GE(memory.imported_bytes + memory.weight_bytes, weight_bytes) << "flags " << flags;
    if (flags != 0) {
      EXPECT_EQ(memory.imported_bytes, 0u) << "flags " << flags;
    }
    const bool staged = (flags & NBL_FLAG_STAGE_WEIGHTS) != 0;
    if (staged) {
      EXPECT_EQ(memory.staging_bytes, kStagingBytes);
    }
  }
}

TEST_F(WholeEngine, takes_what_it_said_it_would) {
  for (const EngineOptions& options :
       {EngineOptions{}, EngineOptions{.context = 40, .prefill_chunk = 1},
        EngineOptions{.flags = NBL_FLAG_STAGE_WEIGHTS, .max_burst = 1, .logits = NBL_LOGITS_ALL},
        EngineOptions{.flags = NBL_FLAG_TIMESTAMPS, .driver_pool_bytes = 4 << 20}}) {
    TestEngine engine(model_file().span(), options);
    const nbl_memory& needed = engine.needed();
    const nbl_info info = engine.info();
    EXPECT_EQ(std::memcmp(&needed, &info.memory, sizeof needed), 0);
    EXPECT_EQ(needed.device_bytes,
              needed.weight_bytes + needed.kv_bytes + needed.activation_bytes + needed.io_bytes);
    EXPECT_LE(info.driver_pool_peak, needed.driver_pool_bytes);
    EXPECT_GT(info.driver_allocations_setup, 0u);
    EXPECT_GE(needed.host_bytes, needed.driver_pool_bytes);
  }
}

TEST_F(WholeEngine, has_figures_that_follow_the_options) {
  const auto needed = [](const EngineOptions& options) {
    return TestEngine(model_file().span(), options).needed();
  };
  const nbl_memory base = needed({});
  // Two layers, keys and values, two heads of 32, f16.
  EXPECT_GE(base.kv_bytes, 2u * 2 * 2 * 32 * 2 * kContext);
  EXPECT_LT(needed({.context = 50}).kv_bytes, base.kv_bytes);
  EXPECT_LT(needed({.prefill_chunk = 1}).activation_bytes, base.activation_bytes);
  EXPECT_GE(needed({.logits = NBL_LOGITS_LAST}).io_bytes, base.io_bytes + kVocab * 4);
  EXPECT_GE(needed({.logits = NBL_LOGITS_ALL}).io_bytes, base.io_bytes + 16 * kVocab * 4);
  EXPECT_EQ(needed({.driver_pool_bytes = 4 << 20}).driver_pool_bytes, 4u << 20);
}

TEST_F(WholeEngine, does_not_notice_another_beside_it) {
  const nbl_sampling warm =
      SamplingOptions{.temperature = 0.8f, .top_k = 50, .top_p = 0.9f, .seed = 42};
  const auto start = [&](TestEngine* engine, uint32_t prompt) {
    engine->set_sampling(warm);
    engine->evaluate(prompt_of(prompt));
  };
  const AlignedBytes& file = model_file();
  TestEngine alone(file.span());
  start(&alone, 7);
  const std::vector<uint32_t> expected_a = alone.generate(30);
  alone.rewind(0);
  start(&alone, 19);
  const std::vector<uint32_t> expected_b = alone.generate(30);
  ASSERT_NE(expected_a, expected_b);

  TestEngine a(file.span()), b(file.span(), {.flags = NBL_FLAG_NO_IMPORT});
  std::vector<uint32_t> tokens_a, tokens_b;
  start(&a, 7);
  start(&b, 19);
  for (uint32_t i = 0; i < 10; ++i) {
    for (const uint32_t token : a.generate(3))
      tokens_a.push_back(token);
    for (const uint32_t token : b.generate(3))
      tokens_b.push_back(token);
  }
  EXPECT_EQ(tokens_a, expected_a);
  EXPECT_EQ(tokens_b, expected_b);
}

TEST_F(WholeEngine, opens_again_in_the_same_arena) {
  TestEngine engine(model_file().span(), {.logits = NBL_LOGITS_ALL});
  const auto rows = engine.logits_of(prompt_of(20), 16);
  for (int again = 0; again < 3; ++again) {
    engine.open();
    EXPECT_EQ(engine.position(), 0u);
    EXPECT_EQ(engine.logits_of(prompt_of(20), 16), rows);
  }
}

TEST_F(WholeEngine, counts_what_the_driver_allocates_after_setup) {
  TestEngine engine(model_file().span());
  const uint32_t before = engine.info().driver_allocations_after;
  EXPECT_EQ(before, 0u);
  engine.evaluate(prompt_of(20));
  engine.generate(40);
  const nbl_info info = engine.info();
  EXPECT_LE(info.driver_pool_peak, info.memory.driver_pool_bytes);
  engine.rewind(0);
  engine.evaluate(prompt_of(20));
  engine.generate(40);
  // The same work, so the same number: nothing piles up.
  EXPECT_EQ(engine.info().driver_allocations_after, 2 * info.driver_allocations_after);
}

// A driver that needs host memory for a submit (lavapipe does) says so when it gets none: the call
// fails, the engine is dead, and the arena can be used again. Others do not notice.
TEST_F(WholeEngine, can_refuse_the_driver_memory_after_setup) {
  TestEngine free_engine(model_file().span());
  free_engine.evaluate(prompt_of(20));
  const bool driver_allocates = free_engine.info().driver_allocations_after > 0;

  TestEngine engine(model_file().span(), {.flags = NBL_FLAG_REFUSE_DRIVER_ALLOCATIONS});
  const std::vector<uint32_t> prompt = prompt_of(20);
  for (int again = 0; again < 2; ++again) {
    nbl_error error = {};
    const nbl_status status = nbl_evaluate(engine.get(), prompt.data(), 20, &error);
    if (!driver_allocates) {
      EXPECT_EQ(status, 0u);
      continue;
    }
    EXPECT_STREQ(nbl_status_name(status), "vulkan_call");
    EXPECT_NE(sentence(error).find("vk"), std::string::npos) << sentence(error);
    EXPECT_GT(engine.info().driver_allocations_after, 0u);
    uint32_t token = 0, count = 0;
    for (const nbl_status later : {nbl_evaluate(engine.get(), prompt.data(), 20, &error),
                                   nbl_rewind(engine.get(), 0, &error)}) {
      EXPECT_STREQ(nbl_status_name(later), "engine_dead");
    }
    EXPECT_NE(nbl_generate(engine.get(), 1, &token, &count, &error), 0u);
    engine.open();
  }
}

std::vector<nbl_timing> timings_of(TestEngine* engine, bool prefill) {
  const nbl_info info = engine->info();
  std::vector<nbl_timing> timings(prefill ? info.prefill_dispatches : info.decode_dispatches);
  const uint32_t capacity = static_cast<uint32_t>(timings.size());
  uint32_t count = 0;
  nbl_error error = {};
  EXPECT_STREQ(nbl_status_name(nbl_timings(engine->get(), prefill ? 1 : 0, timings.data(),
                                           capacity - 1, &count, &error)),
               "output_too_small");
  const nbl_status status =
      nbl_timings(engine->get(), prefill ? 1 : 0, timings.data(), capacity, &count, &error);
  if (std::string(nbl_status_name(status)) == "no_timestamps") return {};  // not on this device
  EXPECT_EQ(status, 0u) << sentence(error);
  EXPECT_EQ(count, capacity);
  return timings;
}

bool names_a(const nbl_timing& timing, std::string_view part) {
  return std::string_view(timing.kernel).find(part) != std::string_view::npos;
}

void expect_timed(std::span<const nbl_timing> timings) {
  uint64_t end = 0;
  uint32_t index = 0;
  for (const nbl_timing& t : timings) {
    EXPECT_EQ(t.index, index++);
    EXPECT_GE(t.start_ns, end) << t.node;
    EXPECT_EQ(t.end_ns, t.start_ns + t.duration_ns);
    end = t.end_ns;
    EXPECT_LT(end, 10'000'000'000u) << t.node;
    EXPECT_GT(t.bytes, 0u) << t.node;
    EXPECT_GT(std::strlen(t.node), 2u);
    EXPECT_NE(std::find(std::begin(kOpKindNames), std::end(kOpKindNames), t.op),
              std::end(kOpKindNames));
    for (uint32_t axis = 0; axis < 3; ++axis) {
      EXPECT_GT(t.grid[axis], 0u) << t.node;
      EXPECT_EQ(t.global_size[axis], uint64_t{t.grid[axis]} * t.local_size[axis]) << t.node;
    }
    EXPECT_GT(t.local_size[0], 1u) << t.kernel << " of " << t.node;
  }
}

TEST_F(WholeEngine, times_every_dispatch) {
  for (const uint32_t kernels : {0u, uint32_t{NBL_FLAG_GPU_KERNELS}}) {
    TestEngine engine(model_file().span(), {.flags = NBL_FLAG_TIMESTAMPS | kernels});
    engine.evaluate(prompt_of(16));
    engine.generate(5);
    for (const bool prefill : {false, true})
      expect_timed(timings_of(&engine, prefill));
  }
}

// The flags reach the kernels that the other end-to-end tests mean to run.
TEST_F(WholeEngine, chooses_kernels_by_its_flags) {
  for (const uint32_t flags : {uint32_t{NBL_FLAG_FLOOR_KERNELS}, uint32_t{NBL_FLAG_GPU_KERNELS}}) {
    TestEngine engine(model_file().span(), {.flags = flags | NBL_FLAG_TIMESTAMPS});
    engine.evaluate(prompt_of(16));
    engine.generate(2);
    for (const bool prefill : {false, true}) {
      for (const nbl_timing& t : timings_of(&engine, prefill)) {
        EXPECT_FALSE(names_a(t, "quads") || names_a(t, "gemm_wide")) << t.kernel;
        EXPECT_FALSE(flags == NBL_FLAG_FLOOR_KERNELS && names_a(t, "subgroup")) << t.kernel;
      }
    }
  }
}

// The hooks' side of a pipeline cache.
struct Cache {
  std::vector<std::byte> blob;
  size_t loads = 0;
  size_t stores = 0;
  size_t offered = 0;

  static size_t load(void* user, void* data, size_t size) {
    Cache* self = static_cast<Cache*>(user);
    ++self->loads;
    self->offered = size;
    if (self->blob.size() > size) return 0;
    if (!self->blob.empty()) std::memcpy(data, self->blob.data(), self->blob.size());
    return self->blob.size();
  }
  static void store(void* user, const void* data, size_t size) {
    Cache* self = static_cast<Cache*>(user);
    ++self->stores;
    const std::byte* bytes = static_cast<const std::byte*>(data);
    self->blob.assign(bytes, bytes + size);
  }
};

TEST_F(WholeEngine, passes_the_pipeline_cache_through_its_hooks) {
  Cache cache;
  const EngineOptions options = {
      .cache_load = Cache::load, .cache_store = Cache::store, .user = &cache};
  std::vector<uint32_t> expected;
  {
    TestEngine engine(model_file().span(), options);
    engine.evaluate(prompt_of(20));
    expected = engine.generate(20);
  }
  EXPECT_EQ(cache.loads, 1u);
  EXPECT_EQ(cache.stores, 1u);
  if (cache.blob.size() < 32) GTEST_SKIP() << "this driver's cache has no header";  // Mesa 26
  const std::vector<std::byte> good = cache.blob;

  const std::pair<const char*, std::function<void()>> cases[] = {
      {"as it was", [] {}},
      {"of another device", [&] { cache.blob[12] ^= std::byte{1}; }},
      {"of another driver", [&] { cache.blob[20] ^= std::byte{1}; }},
      {"shorter than a header", [&] { cache.blob.resize(31); }},
      {"cut", [&] { cache.blob.resize(33); }},
      {"noise", [&] { cache.blob.assign(5000, std::byte{0x5a}); }},
      {"empty", [&] { cache.blob.clear(); }},
  };
  for (const auto& [name, change] : cases) {
    cache.blob = good;
    change();
    TestEngine engine(model_file().span(), options);
    engine.evaluate(prompt_of(20));
    EXPECT_EQ(engine.generate(20), expected) << "a blob " << name;
    EXPECT_GE(cache.blob.size(), 32u) << "a blob " << name;
  }
  EXPECT_EQ(cache.loads, 8u);
  EXPECT_EQ(cache.stores, 8u);
}

TEST_F(WholeEngine, works_with_one_hook_alone) {
  Cache cache;
  { TestEngine engine(model_file().span(), {.cache_store = Cache::store, .user = &cache}); }
  EXPECT_EQ(cache.stores, 1u);
  TestEngine engine(model_file().span(), {.cache_load = Cache::load, .user = &cache});
  EXPECT_EQ(cache.loads, 1u);
  engine.evaluate(prompt_of(3));
}

}  // namespace
}  // namespace nbl::test
