// Could break: a call that a lenient driver forgives, two dispatches that a small GPU would run at
// once although one needs the other, or a device whose limits nobody has at hand.
#include "boards/boards.h"

#include <gtest/gtest.h>

#include "rt/mem/pool.h"
#include "rt/vk/device.h"
#include "rt/vk/host_memory.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"
#include "tests/support/figure.h"

namespace nbl::test {
namespace {

struct NamedCaps {
  std::string name;
  Caps caps;
};

// The boards, and what none of them is.
std::vector<NamedCaps> devices() {
  std::vector<NamedCaps> all;
  for (const Board& board : boards())
    all.push_back({board.name, board.caps});
  Caps apart = floor_caps();
  apart.api_version = VK_API_VERSION_1_1;
  apart.memory_heap_count = 2;
  apart.memory_heap_bytes[0] = 64u << 20;
  apart.memory_heap_bytes[1] = 16u << 20;
  apart.memory_type_count = 3;
  apart.memory_types[0] = {kDeviceLocal, 0};
  apart.memory_types[1] = {kHostVisible, 1};
  apart.memory_types[2] = {kHostVisible | kHostCached, 1};
  all.push_back({"separate heaps, not coherent", apart});
  Caps chains = find_board("h100")->caps;
  chains.cores = 132;
  all.push_back({"work-groups side by side", chains});
  Caps matrices = chains;
  matrices.features |= kCooperativeMatrix | kCooperativeMatrixN8;
  matrices.matrix_m = matrices.matrix_n = matrices.matrix_k = 16;
  all.push_back({"cooperative matrices", matrices});
  Caps small = chains;  // of an integrated GPU
  small.kind = DeviceKind::integrated;
  small.cores = 0;
  small.features |= kCooperativeMatrix;
  small.subgroup_size = 16;
  small.matrix_m = 8;
  small.matrix_n = small.matrix_k = 16;
  all.push_back({"cooperative matrices of another shape", small});
  return all;
}

// What the runtime finds out about a device is what the board's facts are, so that a plan made for
// a board is the device's.
TEST(FakeBoards, say_of_themselves_what_their_caps_are) {
  for (const NamedCaps& board : devices()) {
    const Caps& want = board.caps;
    fake::FakeVulkan vulkan(want);
    std::vector<std::byte> memory(1u << 20);
    Pool pool;
    pool.init(memory);
    std::vector<VkExtensionProperties> scratch(kExtensionScratch);
    Device device;
    Error error;
    const Status status = open_device(reinterpret_cast<PFN_vkGetInstanceProcAddr>(vulkan.entry()),
                                      pool_callbacks(&pool), 0, scratch, &device, &error);
    ASSERT_TRUE(status.ok()) << board.name;
    const Caps& got = device.caps;
    EXPECT_STREQ(got.name, want.name);
    EXPECT_EQ(got.features, want.features) << board.name;
    EXPECT_EQ(got.kind, want.kind) << board.name;
    EXPECT_EQ(got.api_version, want.api_version) << board.name;
    EXPECT_EQ(got.subgroup_size, want.subgroup_size) << board.name;
    EXPECT_EQ(got.max_invocations, want.max_invocations) << board.name;
    EXPECT_EQ(got.max_workgroup_x, want.max_workgroup_x) << board.name;
    EXPECT_EQ(got.max_shared_bytes, want.max_shared_bytes) << board.name;
    EXPECT_EQ(got.max_push_bytes, want.max_push_bytes) << board.name;
    EXPECT_EQ(got.max_storage_buffers, want.max_storage_buffers) << board.name;
    EXPECT_EQ(got.max_storage_range_bytes, want.max_storage_range_bytes) << board.name;
    EXPECT_EQ(got.max_allocation_bytes, want.max_allocation_bytes) << board.name;
    EXPECT_EQ(got.storage_align_bytes, want.storage_align_bytes) << board.name;
    EXPECT_EQ(got.timestamp_bits, want.timestamp_bits) << board.name;
    EXPECT_EQ(got.memory_type_count, want.memory_type_count) << board.name;
    EXPECT_EQ(got.memory_types[0].flags, want.memory_types[0].flags) << board.name;
    EXPECT_EQ(got.memory_heap_bytes[0], want.memory_heap_bytes[0]) << board.name;
    EXPECT_EQ(got.max_image_dim, want.max_image_dim) << board.name;
    EXPECT_EQ(got.matrix_m, want.matrix_m) << board.name;
    EXPECT_EQ(got.matrix_n, want.matrix_n) << board.name;
    EXPECT_EQ(got.matrix_k, want.matrix_k) << board.name;
    close_device(&device);
    EXPECT_EQ(vulkan.complaints(), std::vector<std::string>{}) << board.name;
    EXPECT_EQ(vulkan.alive(), "") << board.name;
  }
}

// A head that a slow device would take too long over is cut into windows of rows.
TEST(FakeBoards, cut_a_long_head_into_windows) {
  FakeLife life(find_board("lavapipe")->caps, long_head_model(), NBL_FLAG_GPU_KERNELS);
  life.config.context = 512;
  life.config.prefill_chunk = 512;
  life.config.logits = NBL_LOGITS_ALL;
  life.learn();
  life.expect_clean("a long head");
  FakeLife whole(find_board("intel-n100")->caps, long_head_model());
  whole.config = life.config;
  whole.config.get_instance_proc_addr = whole.vulkan.entry();
  whole.learn();
  EXPECT_GT(life.vulkan.barriers(), whole.vulkan.barriers());
}

TEST(FakeBoards, find_no_misuse_no_hazard_and_nothing_left) {
  constexpr uint32_t kFlags[] = {0, NBL_FLAG_FLOOR_KERNELS | NBL_FLAG_TIMESTAMPS,
                                 NBL_FLAG_STAGE_WEIGHTS | NBL_FLAG_GPU_KERNELS,
                                 NBL_FLAG_TEXTURE_WEIGHTS, NBL_FLAG_CHAIN | NBL_FLAG_TIMESTAMPS};
  uint32_t lives = 0;
  for (const NamedCaps& device : devices()) {
    for (const FakeModel& model : fake_models()) {
      for (const uint32_t flags : kFlags) {
        const std::string what =
            device.name + ", " + model.name + ", flags " + std::to_string(flags);
        FakeLife life(device.caps, model.file, flags);
        life.learn();
        life.expect_clean(what);
        ++lives;
        if (testing::Test::HasFailure()) return;
      }
    }
  }
  figure(with_commas(lives) + " lives without a complaint");
}

}  // namespace
}  // namespace nbl::test
