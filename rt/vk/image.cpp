#include "rt/vk/image.h"

#include "rt/base/checked.h"
#include "rt/base/limits.h"
#include "rt/vk/result.h"
#include "spirv/texture.h"

namespace nbl {
namespace {

constexpr uint32_t kWidth = 1u << TEXTURE_WIDTH_LOG2;
constexpr uint32_t kRowBytes = kWidth * TEXTURE_TEXEL_BYTES;
constexpr uint32_t kMaxRows = kMaxBlockBytes / kRowBytes;
constexpr VkFormat kFormat = VK_FORMAT_R32G32B32A32_UINT;
constexpr VkImageSubresourceRange kWhole{VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};

Status make_image(const Device& device, uint32_t rows, VkImage* image,
                  VkMemoryRequirements* requirements, Error* error) {
  VkImageCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO;
  info.imageType = VK_IMAGE_TYPE_2D;
  info.format = kFormat;
  info.extent = {kWidth, rows, 1};
  info.mipLevels = 1;
  info.arrayLayers = 1;
  info.samples = VK_SAMPLE_COUNT_1_BIT;
  info.tiling = VK_IMAGE_TILING_OPTIMAL;
  info.usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT;
  NBL_VK(device, error, CreateImage, device.device, &info, &device.host, image);
  device.fn.GetImageMemoryRequirements(device.device, *image, requirements);
  return {};
}

Status probe(Device* d, uint32_t rows, uint64_t* bytes, Error* error) {
  VkImage image = VK_NULL_HANDLE;
  VkMemoryRequirements requirements{};
  NBL_TRY(make_image(*d, rows, &image, &requirements, error));
  d->fn.DestroyImage(d->device, image, &d->host);
  d->caps.image_memory_bits = requirements.memoryTypeBits;
  *bytes = requirements.size;
  return {};
}

// Whether images of several steps take no more than so many times one. Tilings change at powers of
// two, so the heights tried are those just above them, and the largest.
Status steps_add_up(Device* d, uint32_t step, uint32_t max_rows, uint64_t step_bytes, bool* yes,
                    Error* error) {
  const uint32_t most = max_rows / step;
  *yes = true;
  for (const uint32_t steps : {2u, 3u, 5u, 9u, 17u, 33u, most}) {
    if (steps > most) continue;
    uint64_t bytes = 0;
    NBL_TRY(probe(d, steps * step, &bytes, error));
    if (bytes > steps * step_bytes) *yes = false;
    if (!*yes) break;
  }
  return {};
}

}  // namespace

Status probe_images(Device* device, Error* error) {
  Caps* caps = &device->caps;
  caps->image_rows = 0;
  const uint32_t max_rows = min_of(caps->max_image_dim, kMaxRows);
  if (caps->max_image_dim < kWidth) return {};
  for (const uint32_t step : {8u, 16u, 32u, 64u, 128u, 256u}) {
    uint64_t bytes = 0;
    bool adds_up = false;
    NBL_TRY(probe(device, step, &bytes, error));
    if (caps->image_memory_bits == 0) return {};
    NBL_TRY(steps_add_up(device, step, max_rows, bytes, &adds_up, error));
    if (!adds_up) continue;
    caps->image_rows = step;
    caps->image_rows_bytes = bytes;
    return {};
  }
  return {};
}

Status allocate_image(const Device& device, uint32_t rows, uint64_t bytes, uint32_t memory_type,
                      DeviceBlock* block, Error* error) {
  constexpr const char* kName = "an image of weights";
  block->bytes = bytes;
  VkMemoryRequirements requirements{};
  NBL_TRY(make_image(device, rows, &block->image, &requirements, error));
  if (requirements.size > bytes) {
    return fail(error, Code::image_refused, rows, kName, requirements.size, bytes);
  }
  if ((requirements.memoryTypeBits >> memory_type & 1u) == 0) {
    return fail(error, Code::no_memory_type, memory_type, kName);
  }
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.allocationSize = bytes;
  info.memoryTypeIndex = memory_type;
  NBL_TRY(allocate_memory(device, info, kName, block, error));
  VkImageViewCreateInfo view{};
  view.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO;
  view.image = block->image;
  view.viewType = VK_IMAGE_VIEW_TYPE_2D;
  view.format = kFormat;
  view.subresourceRange = kWhole;
  NBL_VK(device, error, CreateImageView, device.device, &view, &device.host, &block->view);
  return {};
}

}  // namespace nbl
