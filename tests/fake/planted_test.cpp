// Could break: the fake driver itself. Each kind of bug that it is there for is planted once, in
// Vulkan calls as the runtime makes them, and has to be told by name.
#include <gtest/gtest.h>

#include "boards/boards.h"
#include "rt/mem/pool.h"
#include "rt/vk/host_memory.h"
#include "rt/vk/memory.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"

namespace nbl::test {
namespace {

constexpr VkDeviceSize kBytes = 1024;

// A device with a buffer, a fence and a command buffer, which does what it should.
class Planted : public testing::Test {
 protected:
  Planted() : vulkan_(caps()), memory_(1u << 20) {
    pool_.init(memory_);
    std::vector<VkExtensionProperties> scratch(kExtensionScratch);
    check(open_device(reinterpret_cast<PFN_vkGetInstanceProcAddr>(vulkan_.entry()),
                      pool_callbacks(&pool_), 0, scratch, &device_, &error_));
    check(allocate_block(device_, kBytes, 0, "a block", &block_, &error_));
    VkCommandPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    (void)fn().CreateCommandPool(vk(), &pool, &device_.host, &command_pool_);
    VkCommandBufferAllocateInfo commands{};
    commands.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    commands.commandPool = command_pool_;
    commands.commandBufferCount = 1;
    (void)fn().AllocateCommandBuffers(vk(), &commands, &commands_);
    VkFenceCreateInfo fence{};
    fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    (void)fn().CreateFence(vk(), &fence, &device_.host, &fence_);
  }

  static Caps caps() {
    Caps caps = find_board("floor")->caps;
    caps.memory_types[0].flags = kDeviceLocal | kHostVisible;
    return caps;
  }

  void check(Status status) { ASSERT_TRUE(status.ok()) << error_.name; }
  const Functions& fn() const { return device_.fn; }
  VkDevice vk() const { return device_.device; }

  void close(bool leave_fence = false) {
    if (!leave_fence) fn().DestroyFence(vk(), fence_, &device_.host);
    fn().DestroyCommandPool(vk(), command_pool_, &device_.host);
    free_block(device_, &block_);
    close_device(&device_);
  }

  void begin() const {
    VkCommandBufferBeginInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    (void)fn().BeginCommandBuffer(commands_, &info);
  }
  void fill(VkDeviceSize offset, VkDeviceSize bytes) const {
    fn().CmdFillBuffer(commands_, block_.buffer, offset, bytes, 7);
  }
  void barrier(VkPipelineStageFlags from, VkPipelineStageFlags to, VkAccessFlags made,
               VkAccessFlags seen) const {
    const VkMemoryBarrier memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, made, seen};
    fn().CmdPipelineBarrier(commands_, from, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
  }
  void submit() const {
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands_;
    (void)fn().QueueSubmit(device_.queue, 1, &info, fence_);
  }
  void wait() const { (void)fn().WaitForFences(vk(), 1, &fence_, VK_TRUE, ~uint64_t{0}); }
  void run() const {
    (void)fn().EndCommandBuffer(commands_);
    submit();
    wait();
  }

  // One complaint, with these words in it.
  void expect_told(const std::string& words) {
    ASSERT_EQ(vulkan_.complaints().size(), 1u) << testing::PrintToString(vulkan_.complaints());
    EXPECT_NE(vulkan_.complaints()[0].find(words), std::string::npos) << vulkan_.complaints()[0];
  }

  fake::FakeVulkan vulkan_;
  std::vector<std::byte> memory_;
  Pool pool_;
  Device device_;
  DeviceBlock block_;
  VkCommandPool command_pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  Error error_;
};

TEST_F(Planted, nothing_is_not_told) {
  begin();
  fill(0, 512);
  fill(512, 512);
  run();
  close();
  EXPECT_EQ(vulkan_.complaints(), std::vector<std::string>{});
  EXPECT_EQ(vulkan_.alive(), "");
}

TEST_F(Planted, leak_is_told) {
  close(true);
  expect_told("vkDestroyDevice: fence left");
}

TEST_F(Planted, second_destruction_is_told) {
  fn().DestroyFence(vk(), fence_, &device_.host);
  close();
  expect_told("vkDestroyFence: the fence has been destroyed");
}

TEST_F(Planted, destruction_under_way_is_told) {
  begin();
  fill(0, 512);
  (void)fn().EndCommandBuffer(commands_);
  submit();
  fn().DestroyBuffer(vk(), block_.buffer, &device_.host);
  block_.buffer = VK_NULL_HANDLE;
  wait();
  expect_told("vkDestroyBuffer: the buffer is used by a submit that nobody has waited for");
  close();
}

TEST_F(Planted, use_after_the_end_is_told) {
  begin();
  fill(0, 512);
  (void)fn().EndCommandBuffer(commands_);
  fn().DestroyBuffer(vk(), block_.buffer, &device_.host);
  block_.buffer = VK_NULL_HANDLE;
  submit();
  expect_told("vkQueueSubmit: the command buffer uses a buffer that has been destroyed");
  wait();
  close();
}

TEST_F(Planted, missing_barrier_is_told) {
  begin();
  fill(0, 512);
  fill(508, 8);
  run();
  expect_told("a fill of 8 bytes writes bytes 508 to 512 that a fill of 512 bytes writes");
  close();
}

TEST_F(Planted, barrier_without_the_access_is_told) {
  begin();
  fill(0, 512);
  barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0,
          VK_ACCESS_TRANSFER_WRITE_BIT);
  fill(0, 512);
  run();
  expect_told("no barrier keeps them apart");
  close();
}

TEST_F(Planted, barrier_of_other_stages_is_told) {
  begin();
  fill(0, 512);
  barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_SHADER_WRITE_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
  fill(0, 512);
  run();
  expect_told("no barrier keeps them apart");
  close();
}

TEST_F(Planted, barriers_that_join_are_not_told) {
  begin();
  fill(0, 512);
  barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
          VK_ACCESS_TRANSFER_WRITE_BIT, VK_ACCESS_SHADER_READ_BIT);
  barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0,
          VK_ACCESS_TRANSFER_WRITE_BIT);
  fill(0, 512);
  run();
  close();
  EXPECT_EQ(vulkan_.complaints(), std::vector<std::string>{});
}

// A fence alone does not let the host read.
TEST_F(Planted, missing_barrier_to_the_host_is_told) {
  check(map_block(device_, &block_, &error_));
  begin();
  fill(0, 512);
  run();
  expect_told("no barrier makes them visible to it");
  close();
}

TEST_F(Planted, missing_flush_is_told) {
  check(map_block(device_, &block_, &error_));
  block_.mapped[3] = std::byte{1};
  begin();
  run();
  expect_told("vkQueueSubmit: the host wrote memory and did not flush it");
  close();
}

TEST_F(Planted, missing_invalidation_shows_old_bytes_and_is_told) {
  check(map_block(device_, &block_, &error_));
  const std::byte old = block_.mapped[0];
  begin();
  barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_TRANSFER_WRITE_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
  fill(0, 512);
  barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
          VK_ACCESS_HOST_READ_BIT);
  run();
  EXPECT_EQ(block_.mapped[0], old);
  (void)fn().ResetFences(vk(), 1, &fence_);
  submit();
  wait();
  expect_told("the host has not invalidated what the device wrote before");
  check(invalidate_block(device_, block_, &error_));
  EXPECT_EQ(block_.mapped[0], std::byte{7});
  close();
}

TEST_F(Planted, range_of_half_an_atom_is_told) {
  check(map_block(device_, &block_, &error_));
  VkMappedMemoryRange range{};
  range.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE;
  range.memory = block_.memory;
  range.size = 128;
  (void)fn().FlushMappedMemoryRanges(vk(), 1, &range);
  expect_told("the range is not made of whole atoms of 256 bytes");
  close();
}

// A neighbour in the same atom takes stale bytes along, as a cache line does.
TEST_F(Planted, flush_beside_what_the_device_wrote_writes_over_it) {
  check(map_block(device_, &block_, &error_));
  begin();
  fill(0, 4);
  run();
  block_.mapped[8] = std::byte{1};
  check(flush_block(device_, block_, &error_));
  check(invalidate_block(device_, block_, &error_));
  EXPECT_NE(block_.mapped[0], std::byte{7});
  close();
}

TEST_F(Planted, second_submit_of_one_buffer_is_told) {
  begin();
  (void)fn().EndCommandBuffer(commands_);
  const VkCommandBuffer twice[] = {commands_, commands_};
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.commandBufferCount = 2;
  info.pCommandBuffers = twice;
  (void)fn().QueueSubmit(device_.queue, 1, &info, fence_);
  wait();
  expect_told("not for simultaneous use");
  close();
}

TEST_F(Planted, range_past_a_buffer_is_told) {
  begin();
  fill(kBytes - 4, 8);
  run();
  EXPECT_NE(vulkan_.complaints()[0].find("8 bytes at offset 1020 do not lie in a buffer of 1024"),
            std::string::npos);
  close();
}

// A result that nobody looks at: what comes after it is wrong, and says so.
TEST_F(Planted, result_that_is_not_looked_at_is_told) {
  const auto calls = vulkan_.calls().size();
  vulkan_.fail_call(calls + 1, VK_ERROR_OUT_OF_HOST_MEMORY);
  begin();
  fill(0, 512);
  EXPECT_STREQ(vulkan_.failed(), "vkBeginCommandBuffer");
  expect_told("vkCmdFillBuffer: the command buffer is not being recorded");
  close();
}

TEST_F(Planted, other_allocation_callbacks_are_told) {
  fn().DestroyFence(vk(), fence_, nullptr);
  expect_told("vkDestroyFence: the fence was made with other allocation callbacks");
  close(true);
}

}  // namespace
}  // namespace nbl::test
