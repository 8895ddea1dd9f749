// Could break: a plan for a board's limits that goes past them, memory of a board that is used as
// if it were another's, or other tokens than the machine's own device gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "boards/boards.h"
#include "rt/vk/device.h"
#include "tests/support/clamped_vulkan.h"
#include "tests/support/engine.h"
#include "tests/support/small_llama.h"
#include "tests/support/stories.h"

namespace nbl::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Devices that no board is, but that there may be.
Caps with_memory(Caps caps, std::initializer_list<MemoryType> types,
                 std::initializer_list<uint64_t> heaps) {
  caps.memory_type_count = caps.memory_heap_count = 0;
  for (const MemoryType& type : types)
    caps.memory_types[caps.memory_type_count++] = type;
  for (const uint64_t bytes : heaps)
    caps.memory_heap_bytes[caps.memory_heap_count++] = bytes;
  return caps;
}

// The host sees nothing of the device's memory, and what the two share is not coherent.
Caps separate_heaps() {
  return with_memory(find_board("rpi5")->caps, {{kDeviceLocal, 0}, {kHostVisible, 1}},
                     {64 * kMiB, 16 * kMiB});
}
// One memory for all, cached by the host and not coherent.
Caps noncoherent() {
  return with_memory(find_board("mali-g610")->caps,
                     {{kDeviceLocal | kHostVisible | kHostCached, 0}}, {48 * kMiB});
}
Caps noncoherent_floor() {
  Caps caps =
      with_memory(find_board("floor")->caps, {{kDeviceLocal | kHostVisible, 0}}, {32 * kMiB});
  caps.noncoherent_atom_bytes = 256;
  return caps;
}
// Subgroups as wide as any, 16 KiB of shared memory, no small types.
Caps wide_subgroups() {
  Caps caps = find_board("adreno-740")->caps;
  caps.features &= ~uint32_t{kStorage16 | kStorage8 | kFloat16};
  caps.subgroup_size = 128;
  caps.max_shared_bytes = 16384;
  return caps;
}

struct Profile {
  std::string name;
  Caps caps;
};

std::vector<Profile> profiles() {
  std::vector<Profile> all;
  for (const Board& board : boards())
    all.push_back({board.name, board.caps});
  all.push_back({"separate-heaps", separate_heaps()});
  all.push_back({"noncoherent", noncoherent()});
  all.push_back({"noncoherent-floor", noncoherent_floor()});
  all.push_back({"wide-subgroups", wide_subgroups()});
  return all;
}

AlignedBytes llama(DType cache) {
  return build_model(small_llama({.dim = 128,
                                  .heads = 8,
                                  .kv_heads = 2,
                                  .head_dim = 16,
                                  .ffn = 288,
                                  .vocab = 1031,
                                  .context = 64,
                                  .seed = 21}),
                     {.prefill_chunk = 16, .cache = cache});
}

struct Transcript {
  std::vector<uint32_t> tokens;
  std::vector<std::vector<float>> logits;
};

// A prompt of several chunks, the first of them short, bursts, a state moved out and in.
Transcript run(TestEngine& engine, uint32_t count) {
  Transcript out;
  std::vector<uint32_t> prompt(20);
  for (uint32_t i = 0; i < prompt.size(); ++i)
    prompt[i] = (7 * i + 1) % engine.info().vocab_size;
  out.logits = engine.logits_of(std::span(prompt).first(3), 16);
  const auto rest = engine.logits_of(std::span(prompt).subspan(3), 16);
  out.logits.insert(out.logits.end(), rest.begin(), rest.end());
  out.tokens = engine.generate(count / 2);
  const std::vector<std::byte> state = engine.save_state();
  const std::vector<uint32_t> next = engine.generate(count / 2);
  engine.rewind(0);
  engine.load_state(state);
  EXPECT_EQ(engine.generate(count / 2), next);
  out.tokens.insert(out.tokens.end(), next.begin(), next.end());
  return out;
}

// Host memory for the driver; nothing asks for more than a maximal alignment when it grows a block.
VKAPI_ATTR void* VKAPI_CALL allocate(void*, size_t size, size_t align, VkSystemAllocationScope) {
  return std::aligned_alloc(align, (size + align - 1) / align * align);
}
VKAPI_ATTR void* VKAPI_CALL reallocate(void*, void* block, size_t size, size_t,
                                       VkSystemAllocationScope) {
  return std::realloc(block, size);
}
VKAPI_ATTR void VKAPI_CALL release(void*, void* block) {
  std::free(block);
}

class OnBoard : public testing::TestWithParam<Profile> {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static nbl_get_instance_proc_addr clamped() {
    return ClampedVulkan::over(vulkan_entry(), GetParam().caps);
  }
  static void expect_within() {
    for (const std::string& broken : ClampedVulkan::broken())
      ADD_FAILURE() << broken;
  }

  static void expect_same_tokens(const AlignedBytes& file, uint32_t count, uint32_t flags) {
    EngineOptions options{.flags = flags, .max_burst = 7, .logits = NBL_LOGITS_ALL};
    Transcript expected;
    {
      TestEngine own(file.span(), options);
      expected = run(own, count);
    }
    options.vulkan = clamped();
    TestEngine engine(file.span(), options);
    const Transcript got = run(engine, count);
    EXPECT_EQ(got.tokens, expected.tokens);
    ASSERT_EQ(got.logits.size(), expected.logits.size());
    for (size_t i = 0; i < got.logits.size(); ++i) {
      const std::vector<double> wanted(expected.logits[i].begin(), expected.logits[i].end());
      // Both are within 1e-3 of the float64 reference, or 4e-3 where a cache entry rounds away.
      EXPECT_LT(relative_error(got.logits[i], wanted), 5e-3) << "row " << i;
    }
    expect_within();
  }
};

TEST_P(OnBoard, a_llama_gives_the_tokens_of_the_machine) {
  expect_same_tokens(llama(DType::f16), 20, 0);
  expect_same_tokens(llama(DType::i8), 20, NBL_FLAG_FLOOR_KERNELS);
  bool coherent = true;
  for (uint32_t i = 0; i < GetParam().caps.memory_type_count; ++i) {
    const uint32_t flags = GetParam().caps.memory_types[i].flags;
    if ((flags & (kHostVisible | kHostCoherent)) == kHostVisible) coherent = false;
  }
  EXPECT_EQ(ClampedVulkan::flushes() > 0, !coherent);
  EXPECT_EQ(ClampedVulkan::invalidations() > 0, !coherent);
}

TEST_P(OnBoard, a_trained_model_gives_the_tokens_of_the_machine) {
  NBL_REQUIRE_STORIES();
  // Its kernels are the same and take a CPU long.
  if (GetParam().caps.kind == DeviceKind::discrete) GTEST_SKIP() << "a wide GPU's kernels";
  expect_same_tokens(stories_file(), 60, 0);
}

TEST_P(OnBoard, the_device_is_the_board_s_as_far_as_the_machine_goes) {
  const Caps& board = GetParam().caps;
  Device device;
  Error error;
  std::vector<VkExtensionProperties> scratch(kExtensionScratch);
  const VkAllocationCallbacks host = {nullptr, allocate, reallocate, release, nullptr, nullptr};
  const auto entry = reinterpret_cast<PFN_vkGetInstanceProcAddr>(clamped());
  const Status status = open_device(entry, host, 0, scratch, &device, &error);
  char text[256] = {};
  describe(error, text, sizeof text);
  ASSERT_TRUE(status.ok()) << text;
  const Caps caps = device.caps;
  close_device(&device);
  EXPECT_STREQ(caps.name, board.name);
  EXPECT_EQ(caps.kind, board.kind);
  EXPECT_EQ(caps.vendor_id, board.vendor_id);
  EXPECT_EQ(caps.subgroup_size, board.subgroup_size);
  EXPECT_EQ(caps.features & ~board.features & ~uint32_t{kScalarLoads}, 0u);
  EXPECT_LE(caps.max_invocations, board.max_invocations);
  EXPECT_LE(caps.max_shared_bytes, board.max_shared_bytes);
  EXPECT_LE(caps.max_storage_range_bytes, board.max_storage_range_bytes);
  EXPECT_GE(caps.storage_align_bytes, board.storage_align_bytes);
  EXPECT_EQ(caps.noncoherent_atom_bytes, board.noncoherent_atom_bytes);
  ASSERT_EQ(caps.memory_type_count, board.memory_type_count);
  for (uint32_t i = 0; i < caps.memory_type_count; ++i)
    EXPECT_EQ(caps.memory_types[i].flags, board.memory_types[i].flags);
  expect_within();
}

INSTANTIATE_TEST_SUITE_P(Boards, OnBoard, testing::ValuesIn(profiles()),
                         [](const testing::TestParamInfo<Profile>& profile) {
                           std::string name = profile.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A device that is smaller than it says: each limit is held to, so that none of those above is
// kept by chance.
class Clamped : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  // What a run goes past on a device that says that it is one and is the other.
  static std::string broken(const Caps& says, const Caps& is, const EngineOptions& options = {}) {
    EngineOptions on_board = options;
    on_board.logits = NBL_LOGITS_ALL;
    on_board.vulkan = ClampedVulkan::over(vulkan_entry(), says, is);
    try {
      TestEngine engine(llama(DType::f16).span(), on_board);
      run(engine, 4);
    } catch (const std::runtime_error&) {
      // Some calls fail where they go past a limit.
    }
    std::string text;
    for (const std::string& line : ClampedVulkan::broken())
      text += line + "\n";
    return text;
  }
  static void expect_broken(const char* what, const std::function<void(Caps*)>& shrink,
                            const char* board = "mali-g610", const EngineOptions& options = {}) {
    const Caps says = find_board(board)->caps;
    Caps is = says;
    shrink(&is);
    const std::string text = broken(says, is, options);
    EXPECT_NE(text.find(what), std::string::npos) << what << ", not:\n" << text;
  }
};

TEST_F(Clamped, devices_are_held_to_their_limits) {
  expect_broken("bytes of a binding", [](Caps* c) { c->max_storage_range_bytes = 1 << 16; });
  expect_broken("offset of a binding", [](Caps* c) { c->storage_align_bytes = 1 << 20; });
  expect_broken("bytes of an allocation", [](Caps* c) { c->max_allocation_bytes = 1 << 16; });
  expect_broken("bytes of a heap", [](Caps* c) { c->memory_heap_bytes[0] = 1 << 17; });
  expect_broken("invocations", [](Caps* c) { c->max_invocations = 32; });
  expect_broken("size of a work-group", [](Caps* c) { c->max_workgroup_x = 32; });
  expect_broken("shared memory", [](Caps* c) { c->max_shared_bytes = 256; });
  expect_broken("storage buffers of a stage", [](Caps* c) { c->max_storage_buffers = 3; });
  expect_broken("bytes of push constants", [](Caps* c) { c->max_push_bytes = 64; });
  expect_broken("capability of a module", [](Caps* c) { c->features &= ~kSubgroupShuffle; });
  expect_broken("work-groups along x", [](Caps* c) { c->max_grid[0] = 1; });
  expect_broken("feature enabled", [](Caps* c) { c->features &= ~kIntegerDot; });
  expect_broken(
      "side of an image", [](Caps* c) { c->max_image_dim = 8; }, "adreno-740");
  expect_broken("memory mapped", [](Caps* c) { c->memory_types[0].flags = kDeviceLocal; });
}

// Without flushes the device reads old steps, and without invalidations the host old results.
TEST_F(Clamped, memory_that_is_not_coherent_needs_its_flushes) {
  const AlignedBytes file = llama(DType::f16);
  const uint32_t prompt[] = {1, 2, 3};
  std::vector<uint32_t> expected;
  {
    TestEngine own(file.span());
    own.evaluate(prompt);
    expected = own.generate(20);
  }
  const auto tokens = [&](const Caps& says) {
    try {
      TestEngine engine(file.span(),
                        {.vulkan = ClampedVulkan::over(vulkan_entry(), says, noncoherent())});
      engine.evaluate(prompt);
      return engine.generate(20);
    } catch (const std::runtime_error&) {
      return std::vector<uint32_t>();  // step and results hold anything
    }
  };
  Caps coherent = noncoherent();
  coherent.memory_types[0].flags |= kHostCoherent;
  EXPECT_EQ(tokens(noncoherent()), expected);
  EXPECT_NE(tokens(coherent), expected);
}

}  // namespace
}  // namespace nbl::test
