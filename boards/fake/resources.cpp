// Buffers and images, and the memory under them.
#include <algorithm>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

constexpr uint64_t kTexelBytes = 16;  // of VK_FORMAT_R32G32B32A32_UINT, the one format there is

uint32_t buffer_types(const Driver& driver) {
  const uint32_t all = (uint64_t{1} << driver.caps.memory_type_count) - 1;
  return driver.caps.buffer_memory_bits == 0 ? all : driver.caps.buffer_memory_bits & all;
}

uint32_t image_types(const Driver& driver) {
  const uint32_t all = (uint64_t{1} << driver.caps.memory_type_count) - 1;
  return driver.caps.image_memory_bits == 0 ? all : driver.caps.image_memory_bits & all;
}

// What an image takes where Caps says what rows of images take.
uint64_t image_bytes(const Caps& caps, const VkExtent3D& extent) {
  const uint64_t plain = uint64_t{extent.width} * extent.height * kTexelBytes;
  if (caps.image_rows == 0) return plain;
  const uint64_t steps = (extent.height + caps.image_rows - 1) / caps.image_rows;
  return std::max(plain, steps * caps.image_rows_bytes);
}

VkResult bind(const char* call, Resource* resource, VkDeviceMemory handle, uint64_t offset,
              uint32_t types) {
  Driver& driver = *resource->driver;
  auto* const memory = driver.use<Memory>(call, handle);
  if (memory == nullptr) return kMisused;
  if (resource->memory != nullptr) {
    driver.complain(call, "it has been bound to memory already");
    return kMisused;
  }
  if ((types >> memory->type & 1u) == 0) {
    driver.complain(call, "memory of type " + std::to_string(memory->type) + " is not for it");
  }
  if (offset % resource->align != 0 || offset > memory->bytes ||
      resource->bytes > memory->bytes - offset) {
    driver.complain(
        call, std::to_string(resource->bytes) + " bytes at offset " + std::to_string(offset) +
                  " are not aligned or end behind the memory's " + std::to_string(memory->bytes));
    return kMisused;
  }
  resource->memory = memory;
  resource->offset = offset;
  return VK_SUCCESS;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL CreateBuffer(VkDevice device, const VkBufferCreateInfo* info,
                                            const VkAllocationCallbacks* callbacks, VkBuffer* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkCreateBuffer", device);
  if (parent == nullptr) return kMisused;
  if (info->size == 0 || info->usage == 0) {
    driver.complain("vkCreateBuffer", "a buffer of no bytes or for no use");
  }
  auto* const buffer = driver.make<Buffer>(parent, callbacks, 80);
  if (buffer == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  buffer->bytes = info->size;
  buffer->usage = info->usage;
  buffer->align = std::max<uint64_t>(driver.caps.storage_align_bytes, 4);
  buffer->external = info->pNext != nullptr;
  *out = handle_of<VkBuffer>(buffer);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyBuffer(VkDevice device, VkBuffer handle,
                                         const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<Buffer>("vkDestroyBuffer", handle, callbacks);
}

VKAPI_ATTR void VKAPI_CALL GetBufferMemoryRequirements(VkDevice device, VkBuffer handle,
                                                       VkMemoryRequirements* out) {
  Driver& driver = driver_of(device);
  auto* const buffer = driver.use<Buffer>("vkGetBufferMemoryRequirements", handle);
  if (buffer == nullptr) return;
  out->alignment = buffer->align;
  out->size = (buffer->bytes + buffer->align - 1) / buffer->align * buffer->align;
  out->memoryTypeBits = buffer_types(driver);
}

VKAPI_ATTR VkResult VKAPI_CALL BindBufferMemory(VkDevice device, VkBuffer handle,
                                                VkDeviceMemory memory, VkDeviceSize offset) {
  Driver& driver = driver_of(device);
  auto* const buffer = driver.use<Buffer>("vkBindBufferMemory", handle);
  if (buffer == nullptr) return kMisused;
  const VkResult result = bind("vkBindBufferMemory", buffer, memory, offset, buffer_types(driver));
  if (result == VK_SUCCESS && buffer->memory->imported && !buffer->external) {
    driver.complain("vkBindBufferMemory", "the buffer was not made for imported memory");
  }
  return result;
}

VKAPI_ATTR VkResult VKAPI_CALL CreateImage(VkDevice device, const VkImageCreateInfo* info,
                                           const VkAllocationCallbacks* callbacks, VkImage* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkCreateImage", device);
  if (parent == nullptr) return kMisused;
  const VkExtent3D& extent = info->extent;
  const uint32_t most = driver.caps.max_image_dim;
  if (info->imageType != VK_IMAGE_TYPE_2D || info->format != VK_FORMAT_R32G32B32A32_UINT ||
      extent.width == 0 || extent.height == 0 || extent.width > most || extent.height > most ||
      extent.depth != 1 || info->mipLevels != 1 || info->arrayLayers != 1 || info->usage == 0) {
    driver.complain("vkCreateImage", std::to_string(extent.width) + " x " +
                                         std::to_string(extent.height) +
                                         " of another kind than this device has");
    return kMisused;
  }
  auto* const image = driver.make<Image>(parent, callbacks, 112);
  if (image == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  image->extent = extent;
  image->usage = info->usage;
  image->align = 256;
  image->bytes = image_bytes(driver.caps, extent);
  image->layout = info->initialLayout;
  *out = handle_of<VkImage>(image);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyImage(VkDevice device, VkImage handle,
                                        const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<Image>("vkDestroyImage", handle, callbacks);
}

VKAPI_ATTR void VKAPI_CALL GetImageMemoryRequirements(VkDevice device, VkImage handle,
                                                      VkMemoryRequirements* out) {
  Driver& driver = driver_of(device);
  auto* const image = driver.use<Image>("vkGetImageMemoryRequirements", handle);
  if (image == nullptr) return;
  *out = {image->bytes, image->align, image_types(driver)};
}

VKAPI_ATTR VkResult VKAPI_CALL BindImageMemory(VkDevice device, VkImage handle,
                                               VkDeviceMemory memory, VkDeviceSize offset) {
  Driver& driver = driver_of(device);
  auto* const image = driver.use<Image>("vkBindImageMemory", handle);
  if (image == nullptr) return kMisused;
  return bind("vkBindImageMemory", image, memory, offset, image_types(driver));
}

VKAPI_ATTR VkResult VKAPI_CALL CreateImageView(VkDevice device, const VkImageViewCreateInfo* info,
                                               const VkAllocationCallbacks* callbacks,
                                               VkImageView* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkCreateImageView", device);
  auto* const image = driver.use<Image>("vkCreateImageView", info->image);
  if (parent == nullptr || image == nullptr) return kMisused;
  if (image->memory == nullptr) driver.complain("vkCreateImageView", "the image has no memory");
  auto* const view = driver.make<ImageView>(parent, callbacks, 64);
  if (view == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  view->image = image;
  *out = handle_of<VkImageView>(view);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyImageView(VkDevice device, VkImageView handle,
                                            const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<ImageView>("vkDestroyImageView", handle, callbacks);
}

}  // namespace nbl::fake
