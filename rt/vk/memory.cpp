#include "rt/vk/memory.h"

#include "rt/vk/result.h"

namespace nbl {
namespace {

constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_DST_BIT;
constexpr auto kHostAllocation = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;

Status make_buffer(const Device& device, const void* next, DeviceBlock* block,
                   VkMemoryRequirements* requirements, Error* error) {
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.pNext = next;
  info.size = block->bytes;
  info.usage = kUsage;
  NBL_VK(device, error, CreateBuffer, device.device, &info, &device.host, &block->buffer);
  device.fn.GetBufferMemoryRequirements(device.device, block->buffer, requirements);
  return {};
}

VkMappedMemoryRange whole(const DeviceBlock& block) {
  VkMappedMemoryRange range{};
  range.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE;
  range.memory = block.memory;
  range.size = VK_WHOLE_SIZE;
  return range;
}

}  // namespace

Status allocate_memory(const Device& device, const VkMemoryAllocateInfo& info, const char* name,
                       DeviceBlock* block, Error* error) {
  const VkResult result =
      device.fn.AllocateMemory(device.device, &info, &device.host, &block->memory);
  if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY) {
    const uint32_t heap = device.caps.memory_types[info.memoryTypeIndex].heap;
    return fail(error, Code::device_memory_full, 0, name, info.allocationSize,
                device.caps.memory_heap_bytes[heap]);
  }
  NBL_TRY(check(device, result, "vkAllocateMemory", error));
  if (block->image != VK_NULL_HANDLE) {
    NBL_VK(device, error, BindImageMemory, device.device, block->image, block->memory, 0);
  } else {
    NBL_VK(device, error, BindBufferMemory, device.device, block->buffer, block->memory, 0);
  }
  block->coherent = (device.caps.memory_types[info.memoryTypeIndex].flags & kHostCoherent) != 0;
  return {};
}

Status allocate_block(const Device& device, uint64_t bytes, uint32_t memory_type, const char* name,
                      DeviceBlock* block, Error* error) {
  block->bytes = bytes;
  VkMemoryRequirements requirements{};
  NBL_TRY(make_buffer(device, nullptr, block, &requirements, error));
  if ((requirements.memoryTypeBits >> memory_type & 1u) == 0) {
    return fail(error, Code::no_memory_type, memory_type, name);
  }
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.allocationSize = requirements.size;
  info.memoryTypeIndex = memory_type;
  return allocate_memory(device, info, name, block, error);
}

Status import_block(const Device& device, const std::byte* memory, uint64_t bytes,
                    DeviceBlock* block, Error* error) {
  block->bytes = bytes;
  // The device only reads weights; Vulkan's pointer is not const because it may also be written.
  void* pointer = const_cast<std::byte*>(memory);
  VkMemoryHostPointerPropertiesEXT properties{};
  properties.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT;
  NBL_VK(device, error, GetMemoryHostPointerPropertiesEXT, device.device, kHostAllocation, pointer,
         &properties);
  VkExternalMemoryBufferCreateInfo external{};
  external.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO;
  external.handleTypes = kHostAllocation;
  VkMemoryRequirements requirements{};
  NBL_TRY(make_buffer(device, &external, block, &requirements, error));
  const uint32_t bits = properties.memoryTypeBits & requirements.memoryTypeBits;
  if (bits == 0 || requirements.size > bytes) {
    return fail(error, Code::no_memory_type, bits, "imported weights");
  }
  VkImportMemoryHostPointerInfoEXT import{};
  import.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT;
  import.handleType = kHostAllocation;
  import.pHostPointer = pointer;
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.pNext = &import;
  info.allocationSize = bytes;
  info.memoryTypeIndex = static_cast<uint32_t>(__builtin_ctz(bits));
  return allocate_memory(device, info, "imported weights", block, error);
}

Status map_block(const Device& device, DeviceBlock* block, Error* error) {
  void* pointer = nullptr;
  NBL_VK(device, error, MapMemory, device.device, block->memory, 0, VK_WHOLE_SIZE, 0, &pointer);
  block->mapped = static_cast<std::byte*>(pointer);
  return {};
}

void unmap_block(const Device& device, DeviceBlock* block) {
  if (block->mapped != nullptr) device.fn.UnmapMemory(device.device, block->memory);
  block->mapped = nullptr;
}

Status flush_block(const Device& device, const DeviceBlock& block, Error* error) {
  if (block.coherent) return {};
  const VkMappedMemoryRange range = whole(block);
  NBL_VK(device, error, FlushMappedMemoryRanges, device.device, 1, &range);
  return {};
}

Status invalidate_block(const Device& device, const DeviceBlock& block, Error* error) {
  if (block.coherent) return {};
  const VkMappedMemoryRange range = whole(block);
  NBL_VK(device, error, InvalidateMappedMemoryRanges, device.device, 1, &range);
  return {};
}

void free_block(const Device& device, DeviceBlock* block) {
  unmap_block(device, block);
  if (block->buffer != VK_NULL_HANDLE) {
    device.fn.DestroyBuffer(device.device, block->buffer, &device.host);
  }
  if (block->view != VK_NULL_HANDLE) {
    device.fn.DestroyImageView(device.device, block->view, &device.host);
  }
  if (block->image != VK_NULL_HANDLE) {
    device.fn.DestroyImage(device.device, block->image, &device.host);
  }
  if (block->memory != VK_NULL_HANDLE) {
    device.fn.FreeMemory(device.device, block->memory, &device.host);
  }
  *block = {};
}

}  // namespace nbl
