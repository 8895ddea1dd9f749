#include "tests/support/own_buffers.h"

#include <cstring>
#include <map>

#include "tests/support/engine.h"

namespace nbl::test {
namespace {

struct Place {
  VkDeviceMemory memory;
  VkDeviceSize offset;
  VkDeviceSize bytes;
};

struct {
  Functions real{};
  VkDevice device = nullptr;  // whose functions these are
  bool short_bindings = false;
  std::map<VkBuffer, Place> places;
  OwnBuffers buffers;
} state;

VKAPI_ATTR VkResult VKAPI_CALL CreateBuffer(VkDevice device, const VkBufferCreateInfo* info,
                                            const VkAllocationCallbacks* callbacks, VkBuffer* out) {
  const VkResult result = state.real.CreateBuffer(device, info, callbacks, out);
  if (result == VK_SUCCESS) state.places[*out].bytes = info->size;
  return result;
}

VKAPI_ATTR VkResult VKAPI_CALL BindBufferMemory(VkDevice device, VkBuffer buffer,
                                                VkDeviceMemory memory, VkDeviceSize offset) {
  state.places[buffer].memory = memory;
  state.places[buffer].offset = offset;
  return state.real.BindBufferMemory(device, buffer, memory, offset);
}

VKAPI_ATTR void VKAPI_CALL UpdateDescriptorSets(VkDevice device, uint32_t count,
                                                const VkWriteDescriptorSet* writes, uint32_t copies,
                                                const VkCopyDescriptorSet* copied) {
  std::vector<VkWriteDescriptorSet> own(writes, writes + count);
  std::vector<std::vector<VkDescriptorBufferInfo>> infos(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (own[i].descriptorType != VK_DESCRIPTOR_TYPE_STORAGE_BUFFER) continue;
    for (uint32_t k = 0; k < own[i].descriptorCount; ++k) {
      const VkDescriptorBufferInfo& info = own[i].pBufferInfo[k];
      const Place& place = state.places[info.buffer];
      VkDeviceSize bytes = info.range == VK_WHOLE_SIZE ? place.bytes - info.offset : info.range;
      if (state.short_bindings) bytes = std::max<VkDeviceSize>(4, bytes / 8 * 4);
      infos[i].push_back(
          state.buffers.make(state.real, device, place.memory, place.offset + info.offset, bytes));
    }
    own[i].pBufferInfo = infos[i].data();
  }
  state.real.UpdateDescriptorSets(device, count, own.data(), copies, copied);
}

VKAPI_ATTR void VKAPI_CALL DestroyDevice(VkDevice device, const VkAllocationCallbacks* callbacks) {
  if (device != nullptr) state.buffers.clear(state.real, device);
  state.places.clear();
  state.device = nullptr;
  state.real.DestroyDevice(device, callbacks);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char* name) {
  if (state.device != device) {
    Error error;
    if (!load_device(device, &state.real, &error).ok()) return nullptr;
    state.device = device;
  }
#define NBL_OWN(function)                                     \
  if (std::strcmp(name, "vk" #function) == 0) {               \
    return reinterpret_cast<PFN_vkVoidFunction>(&(function)); \
  }
  NBL_OWN(CreateBuffer)
  NBL_OWN(BindBufferMemory)
  NBL_OWN(UpdateDescriptorSets)
  NBL_OWN(DestroyDevice)
#undef NBL_OWN
  return state.real.GetDeviceProcAddr(device, name);
}

nbl_void_fn instance_function(void* instance, const char* name) {
  const nbl_void_fn found = vulkan_entry()(instance, name);
  if (std::strcmp(name, "vkGetDeviceProcAddr") != 0) return found;
  state.real.GetDeviceProcAddr = reinterpret_cast<PFN_vkGetDeviceProcAddr>(found);
  return reinterpret_cast<nbl_void_fn>(&device_function);
}

}  // namespace

nbl_get_instance_proc_addr own_buffers_entry(bool short_bindings) {
  state.short_bindings = short_bindings;
  return &instance_function;
}

}  // namespace nbl::test
