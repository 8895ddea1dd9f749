#include "tests/support/strange_vulkan.h"

#include <map>
#include <string_view>
#include <utility>

#include "rt/vk/functions.h"

namespace nbl::test {
namespace {

struct State {
  StrangeDevice device;
  PFN_vkGetInstanceProcAddr get = nullptr;
  PFN_vkGetDeviceProcAddr get_device = nullptr;
  Functions real{};
  std::map<VkDeviceMemory, uint64_t> memory;
  std::map<VkImage, uint32_t> rows;
  uint32_t images_made = 0;
};
State state;

VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2* out) {
  state.real.GetPhysicalDeviceProperties2(device, out);
  VkPhysicalDeviceProperties& p = out->properties;
  if (state.device.vendor_id != 0) p.vendorID = state.device.vendor_id;
  if (state.device.max_image_dim != 0) p.limits.maxImageDimension2D = state.device.max_image_dim;
  for (auto* link = static_cast<VkBaseOutStructure*>(out->pNext); link != nullptr;
       link = link->pNext) {
    if (link->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV) {
      reinterpret_cast<VkPhysicalDeviceShaderSMBuiltinsPropertiesNV*>(link)->shaderSMCount =
          state.device.cpu_cores;
    }
    if (state.device.max_allocation_bytes == 0) continue;
    if (link->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES) continue;
    reinterpret_cast<VkPhysicalDeviceMaintenance3Properties*>(link)->maxMemoryAllocationSize =
        state.device.max_allocation_bytes;
  }
}

// Adds the extension that tells of cores.
VKAPI_ATTR VkResult VKAPI_CALL extensions(VkPhysicalDevice device, const char* layer,
                                          uint32_t* count, VkExtensionProperties* out) {
  const uint32_t room = *count;
  const VkResult result = state.real.EnumerateDeviceExtensionProperties(device, layer, count, out);
  if (state.device.cpu_cores == 0 || out == nullptr || *count == room) return result;
  out[*count] = {VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME, 1};
  ++*count;
  return result;
}

VKAPI_ATTR VkResult VKAPI_CALL create_image(VkDevice device, const VkImageCreateInfo* info,
                                            const VkAllocationCallbacks* host, VkImage* image) {
  const VkResult result = state.real.CreateImage(device, info, host, image);
  if (result != VK_SUCCESS) return result;
  ++state.images_made;
  state.rows[*image] = info->extent.height;
  return result;
}

VKAPI_ATTR void VKAPI_CALL destroy_image(VkDevice device, VkImage image,
                                         const VkAllocationCallbacks* host) {
  state.rows.erase(image);
  state.real.DestroyImage(device, image, host);
}

VKAPI_ATTR void VKAPI_CALL image_requirements(VkDevice device, VkImage image,
                                              VkMemoryRequirements* out) {
  state.real.GetImageMemoryRequirements(device, image, out);
  if (state.device.image_bytes) out->size = state.device.image_bytes(state.rows[image], out->size);
}

VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo* info,
                                        const VkAllocationCallbacks* host, VkDeviceMemory* memory) {
  const VkResult result = state.real.AllocateMemory(device, info, host, memory);
  if (result == VK_SUCCESS) state.memory[*memory] = info->allocationSize;
  return result;
}

VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice device, VkDeviceMemory memory,
                                       const VkAllocationCallbacks* host) {
  state.memory.erase(memory);
  state.real.FreeMemory(device, memory, host);
}

// Puts `own` before the function that was found, and keeps that one.
template <typename Function>
PFN_vkVoidFunction replace(PFN_vkVoidFunction found, Function own, Function* real) {
  *real = reinterpret_cast<Function>(found);
  return reinterpret_cast<PFN_vkVoidFunction>(own);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char* name) {
  const PFN_vkVoidFunction found = state.get_device(device, name);
  const std::string_view wanted(name);
  Functions& real = state.real;
  if (wanted == "vkCreateImage") return replace(found, &create_image, &real.CreateImage);
  if (wanted == "vkDestroyImage") return replace(found, &destroy_image, &real.DestroyImage);
  if (wanted == "vkGetImageMemoryRequirements") {
    return replace(found, &image_requirements, &real.GetImageMemoryRequirements);
  }
  if (wanted == "vkAllocateMemory") return replace(found, &allocate, &real.AllocateMemory);
  if (wanted == "vkFreeMemory") return replace(found, &free_memory, &real.FreeMemory);
  return found;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_function(VkInstance instance, const char* name) {
  const PFN_vkVoidFunction found = state.get(instance, name);
  const std::string_view wanted(name);
  if (wanted == "vkGetDeviceProcAddr") return replace(found, &device_function, &state.get_device);
  if (wanted == "vkEnumerateDeviceExtensionProperties") {
    return replace(found, &extensions, &state.real.EnumerateDeviceExtensionProperties);
  }
  if (wanted == "vkGetPhysicalDeviceProperties2") {
    return replace(found, &properties, &state.real.GetPhysicalDeviceProperties2);
  }
  return found;
}

}  // namespace

nbl_get_instance_proc_addr StrangeVulkan::over(nbl_get_instance_proc_addr real,
                                               StrangeDevice device) {
  state = {};
  state.device = std::move(device);
  state.get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(real);
  return reinterpret_cast<nbl_get_instance_proc_addr>(&instance_function);
}

uint64_t StrangeVulkan::allocated_bytes() {
  uint64_t bytes = 0;
  for (const auto& [memory, size] : state.memory)
    bytes += size;
  return bytes;
}

uint32_t StrangeVulkan::images_made() {
  return state.images_made;
}

uint32_t StrangeVulkan::images_alive() {
  return static_cast<uint32_t>(state.rows.size());
}

}  // namespace nbl::test
