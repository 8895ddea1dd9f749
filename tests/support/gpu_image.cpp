#include "tests/support/gpu_image.h"

#include <bit>

#include "spirv/texture.h"

namespace nbl::test {
namespace {

constexpr uint32_t kWidth = 1u << TEXTURE_WIDTH_LOG2;
constexpr VkFormat kFormat = VK_FORMAT_R32G32B32A32_UINT;
constexpr VkImageSubresourceRange kWhole{VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};

}  // namespace

GpuImage::GpuImage(Device& device, uint32_t rows) : device_(device), rows_(rows) {
  auto info = chained<VkImageCreateInfo>(VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO);
  info.imageType = VK_IMAGE_TYPE_2D;
  info.format = kFormat;
  info.extent = {kWidth, rows, 1};
  info.mipLevels = info.arrayLayers = 1;
  info.samples = VK_SAMPLE_COUNT_1_BIT;
  info.usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT;
  check(device_.vk.CreateImage(device_.device, &info, nullptr, &image_), "vkCreateImage");
  VkMemoryRequirements needs;
  device_.vk.GetImageMemoryRequirements(device_.device, image_, &needs);
  auto allocate = chained<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
  allocate.allocationSize = needs.size;
  allocate.memoryTypeIndex = static_cast<uint32_t>(std::countr_zero(needs.memoryTypeBits));
  check(device_.vk.AllocateMemory(device_.device, &allocate, nullptr, &memory_),
        "vkAllocateMemory");
  check(device_.vk.BindImageMemory(device_.device, image_, memory_, 0), "vkBindImageMemory");
  auto view = chained<VkImageViewCreateInfo>(VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO);
  view.image = image_;
  view.viewType = VK_IMAGE_VIEW_TYPE_2D;
  view.format = kFormat;
  view.subresourceRange = kWhole;
  check(device_.vk.CreateImageView(device_.device, &view, nullptr, &view_), "vkCreateImageView");
}

GpuImage::~GpuImage() {
  device_.vk.DestroyImageView(device_.device, view_, nullptr);
  device_.vk.DestroyImage(device_.device, image_, nullptr);
  device_.vk.FreeMemory(device_.device, memory_, nullptr);
}

void GpuImage::record_layout(VkCommandBuffer commands, VkImageLayout from, VkImageLayout to) {
  const bool first = from == VK_IMAGE_LAYOUT_UNDEFINED;
  auto barrier = chained<VkImageMemoryBarrier>(VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER);
  barrier.srcAccessMask = first ? 0 : VK_ACCESS_TRANSFER_WRITE_BIT;
  barrier.dstAccessMask = first ? VK_ACCESS_TRANSFER_WRITE_BIT : VK_ACCESS_SHADER_READ_BIT;
  barrier.oldLayout = from;
  barrier.newLayout = to;
  barrier.srcQueueFamilyIndex = barrier.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
  barrier.image = image_;
  barrier.subresourceRange = kWhole;
  device_.vk.CmdPipelineBarrier(
      commands, first ? VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT : VK_PIPELINE_STAGE_TRANSFER_BIT,
      first ? VK_PIPELINE_STAGE_TRANSFER_BIT : VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 0, nullptr,
      0, nullptr, 1, &barrier);
}

void GpuImage::record_fill(VkCommandBuffer commands, VkBuffer from, uint64_t offset) {
  record_layout(commands, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
  VkBufferImageCopy region{};
  region.bufferOffset = offset;
  region.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
  region.imageExtent = {kWidth, rows_, 1};
  device_.vk.CmdCopyBufferToImage(commands, from, image_, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1,
                                  &region);
  record_layout(commands, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
}

}  // namespace nbl::test
