// One device allocation with the one buffer, or the one image (rt/vk/image.h), that covers it.
#pragma once

#include <cstddef>

#include "rt/vk/device.h"

namespace nbl {

struct DeviceBlock {
  VkBuffer buffer = VK_NULL_HANDLE;
  VkImage image = VK_NULL_HANDLE;
  VkImageView view = VK_NULL_HANDLE;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  std::byte* mapped = nullptr;  // while mapped
  uint64_t bytes = 0;
  bool coherent = true;
};

// Allocates `bytes` of the given memory type under a storage and transfer buffer.
//
// Errors  no_memory_type, device_memory_full, vulkan_call; *block then holds what was made so far,
//         and free_block() is due in any case.
Status allocate_block(const Device& device, uint64_t bytes, uint32_t memory_type, const char* name,
                      DeviceBlock* block, Error* error);

// Makes the buffer over host memory of the caller's (VK_EXT_external_memory_host).
//
// Borrows  memory, until free_block(): a multiple of the import alignment in address and size.
// Errors   as above; any of them means "copy instead".
Status import_block(const Device& device, const std::byte* memory, uint64_t bytes,
                    DeviceBlock* block, Error* error);

// Allocates and binds the memory of a block whose buffer or image exists.
Status allocate_memory(const Device& device, const VkMemoryAllocateInfo& info, const char* name,
                       DeviceBlock* block, Error* error);

Status map_block(const Device& device, DeviceBlock* block, Error* error);
void unmap_block(const Device& device, DeviceBlock* block);

// Makes host writes visible to the device, and device writes to the host, on memory that is not
// coherent; nothing elsewhere.
Status flush_block(const Device& device, const DeviceBlock& block, Error* error);
Status invalidate_block(const Device& device, const DeviceBlock& block, Error* error);

void free_block(const Device& device, DeviceBlock* block);

}  // namespace nbl
