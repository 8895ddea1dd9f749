// Device memory. Of memory that is not coherent, host and device each have a view of their own, and
// bytes pass between them in whole atoms, as cache lines do.
#include <algorithm>
#include <cstring>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

bool is_host_visible(const Driver& driver, uint32_t type) {
  return (driver.caps.memory_types[type].flags & kHostVisible) != 0;
}

const VkImportMemoryHostPointerInfoEXT* find_import(const void* next) {
  for (auto* link = static_cast<const VkBaseInStructure*>(next); link != nullptr;
       link = link->pNext) {
    if (link->sType == VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT) {
      return reinterpret_cast<const VkImportMemoryHostPointerInfoEXT*>(link);
    }
  }
  return nullptr;
}

VkResult give_memory(Driver& driver, Memory* memory,
                     const VkImportMemoryHostPointerInfoEXT* import) {
  if (import != nullptr) {
    const uint64_t align = driver.caps.import_align_bytes;
    if (reinterpret_cast<uintptr_t>(import->pHostPointer) % align != 0 ||
        memory->bytes % align != 0) {
      driver.complain("vkAllocateMemory",
                      "imported memory is not aligned to " + std::to_string(align) + " bytes");
      return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    }
    memory->imported = true;
    memory->device_view = static_cast<std::byte*>(import->pHostPointer);
    return VK_SUCCESS;
  }
  uint64_t& used = driver.heap_used[memory->heap];
  const uint64_t room = std::min(driver.caps.memory_heap_bytes[memory->heap], driver.bytes_left);
  if (memory->bytes > room - std::min(room, used)) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  const size_t bytes = static_cast<size_t>(memory->bytes);
  memory->own.reset(new std::byte[bytes]);
  std::memset(memory->own.get(), 0xcd, bytes);
  memory->device_view = memory->own.get();
  if (!memory->coherent) {
    memory->host_view.reset(new std::byte[bytes]);
    std::memset(memory->host_view.get(), 0xcd, bytes);
    memory->agreed.reset(new std::byte[bytes]);
    std::memset(memory->agreed.get(), 0xcd, bytes);
  }
  used += memory->bytes;
  driver.device_bytes += memory->bytes;
  driver.peak_device_bytes = std::max(driver.peak_device_bytes, driver.device_bytes);
  return VK_SUCCESS;
}

bool host_wrote(const Memory& memory, uint64_t begin, uint64_t end) {
  return std::memcmp(memory.host_view.get() + begin, memory.agreed.get() + begin,
                     static_cast<size_t>(end - begin)) != 0;
}

// The checked bounds of a range; false where it is none.
bool bounds(Driver& driver, const char* call, const Memory& memory,
            const VkMappedMemoryRange& range, uint64_t* end) {
  const uint64_t atom = driver.caps.noncoherent_atom_bytes;
  if (!memory.mapped) driver.complain(call, "the memory is not mapped");
  if (range.offset > memory.bytes ||
      (range.size != VK_WHOLE_SIZE && range.size > memory.bytes - range.offset)) {
    driver.complain(call, "the range ends behind the memory");
    return false;
  }
  *end = range.size == VK_WHOLE_SIZE ? memory.bytes : range.offset + range.size;
  if (range.offset % atom != 0 || (*end % atom != 0 && *end != memory.bytes)) {
    driver.complain(call,
                    "the range is not made of whole atoms of " + std::to_string(atom) + " bytes");
  }
  return memory.mapped && !memory.coherent;
}

// Calls `pass(begin, end)` for the atoms of a range.
template <typename Pass>
void for_atoms(const Driver& driver, uint64_t begin, uint64_t end, const Pass& pass) {
  const uint64_t atom = driver.caps.noncoherent_atom_bytes;
  for (; begin < end; begin += atom)
    pass(begin, std::min(begin + atom, end));
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL AllocateMemory(VkDevice device, const VkMemoryAllocateInfo* info,
                                              const VkAllocationCallbacks* callbacks,
                                              VkDeviceMemory* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkAllocateMemory", device);
  if (parent == nullptr) return kMisused;
  if (info->memoryTypeIndex >= driver.caps.memory_type_count || info->allocationSize == 0 ||
      info->allocationSize > driver.caps.max_allocation_bytes) {
    driver.complain("vkAllocateMemory",
                    std::to_string(info->allocationSize) + " bytes of type " +
                        std::to_string(info->memoryTypeIndex) +
                        " are none, too many at once, or of a type that there is not");
    return kMisused;
  }
  auto* const memory = driver.make<Memory>(parent, callbacks, 96);
  if (memory == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  memory->bytes = info->allocationSize;
  memory->type = info->memoryTypeIndex;
  memory->heap = driver.caps.memory_types[memory->type].heap;
  memory->coherent = !is_host_visible(driver, memory->type) ||
                     (driver.caps.memory_types[memory->type].flags & kHostCoherent) != 0;
  const VkResult result = give_memory(driver, memory, find_import(info->pNext));
  if (result != VK_SUCCESS) {
    driver.end("vkAllocateMemory", memory, callbacks);
    return result;
  }
  *out = handle_of<VkDeviceMemory>(memory);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL FreeMemory(VkDevice device, VkDeviceMemory handle,
                                      const VkAllocationCallbacks* callbacks) {
  Driver& driver = driver_of(device);
  auto* const memory = driver.destroy<Memory>("vkFreeMemory", handle, callbacks);
  if (memory == nullptr) return;
  driver.hazards.memory_is_gone(memory);
  if (memory->imported) return;
  driver.heap_used[memory->heap] -= memory->bytes;
  driver.device_bytes -= memory->bytes;
  memory->own.reset();
  memory->host_view.reset();
  memory->agreed.reset();
}

VKAPI_ATTR VkResult VKAPI_CALL MapMemory(VkDevice device, VkDeviceMemory handle,
                                         VkDeviceSize offset, VkDeviceSize size, VkMemoryMapFlags,
                                         void** out) {
  Driver& driver = driver_of(device);
  auto* const memory = driver.use<Memory>("vkMapMemory", handle);
  if (memory == nullptr) return kMisused;
  if (!is_host_visible(driver, memory->type)) {
    driver.complain("vkMapMemory", "the host does not see memory of this type");
    return VK_ERROR_MEMORY_MAP_FAILED;
  }
  if (memory->mapped) driver.complain("vkMapMemory", "the memory is mapped already");
  if (offset >= memory->bytes || (size != VK_WHOLE_SIZE && size > memory->bytes - offset)) {
    driver.complain("vkMapMemory", "the range ends behind the memory");
    return VK_ERROR_MEMORY_MAP_FAILED;
  }
  memory->mapped = true;
  *out = (memory->coherent ? memory->device_view : memory->host_view.get()) + offset;
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL UnmapMemory(VkDevice device, VkDeviceMemory handle) {
  Driver& driver = driver_of(device);
  auto* const memory = driver.use<Memory>("vkUnmapMemory", handle);
  if (memory == nullptr) return;
  if (!memory->mapped) driver.complain("vkUnmapMemory", "the memory is not mapped");
  memory->mapped = false;
}

VKAPI_ATTR VkResult VKAPI_CALL FlushMappedMemoryRanges(VkDevice device, uint32_t count,
                                                       const VkMappedMemoryRange* ranges) {
  constexpr const char* kCall = "vkFlushMappedMemoryRanges";
  Driver& driver = driver_of(device);
  if (driver.flush_fault.strikes()) return VK_SUCCESS;
  for (uint32_t i = 0; i < count; ++i) {
    auto* const memory = driver.use<Memory>(kCall, ranges[i].memory);
    uint64_t last = 0;
    if (memory == nullptr || !bounds(driver, kCall, *memory, ranges[i], &last)) continue;
    for_atoms(driver, ranges[i].offset, last, [memory](uint64_t begin, uint64_t end) {
      if (!host_wrote(*memory, begin, end)) return;
      const size_t bytes = static_cast<size_t>(end - begin);
      std::memcpy(memory->device_view + begin, memory->host_view.get() + begin, bytes);
      std::memcpy(memory->agreed.get() + begin, memory->host_view.get() + begin, bytes);
    });
  }
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL InvalidateMappedMemoryRanges(VkDevice device, uint32_t count,
                                                            const VkMappedMemoryRange* ranges) {
  constexpr const char* kCall = "vkInvalidateMappedMemoryRanges";
  Driver& driver = driver_of(device);
  if (driver.flush_fault.strikes()) return VK_SUCCESS;
  for (uint32_t i = 0; i < count; ++i) {
    auto* const memory = driver.use<Memory>(kCall, ranges[i].memory);
    uint64_t last = 0;
    if (memory == nullptr || !bounds(driver, kCall, *memory, ranges[i], &last)) continue;
    for_atoms(driver, ranges[i].offset, last, [&](uint64_t begin, uint64_t end) {
      if (host_wrote(*memory, begin, end)) {
        driver.complain(kCall, "what the host wrote was not flushed");
      }
      const size_t bytes = static_cast<size_t>(end - begin);
      std::memcpy(memory->host_view.get() + begin, memory->device_view + begin, bytes);
      std::memcpy(memory->agreed.get() + begin, memory->device_view + begin, bytes);
    });
    if (ranges[i].offset == 0 && last == memory->bytes) memory->device_wrote = false;
  }
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
GetMemoryHostPointerPropertiesEXT(VkDevice device, VkExternalMemoryHandleTypeFlagBits type,
                                  const void* pointer, VkMemoryHostPointerPropertiesEXT* out) {
  Driver& driver = driver_of(device);
  if (type != VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT ||
      reinterpret_cast<uintptr_t>(pointer) % driver.caps.import_align_bytes != 0) {
    driver.complain("vkGetMemoryHostPointerPropertiesEXT",
                    "the pointer is of another kind or not aligned");
    return VK_ERROR_INVALID_EXTERNAL_HANDLE;
  }
  out->memoryTypeBits = 0;
  for (uint32_t i = 0; i < driver.caps.memory_type_count; ++i) {
    if (is_host_visible(driver, i)) out->memoryTypeBits |= 1u << i;
  }
  return VK_SUCCESS;
}

}  // namespace nbl::fake
