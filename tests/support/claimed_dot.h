// The machine's Vulkan, whose devices say that they accelerate the packed dot product of signed
// bytes: so the kernels for it run through the whole runtime on devices that only emulate it.
#pragma once

#include <cstring>
#include <string_view>

#include "rt/nibble.h"
#include "rt/vk/functions.h"

namespace nbl::test {

class ClaimedDot {
 public:
  // The entry to hand to an engine; null where no function of that kind can be found behind it.
  static nbl_get_instance_proc_addr over(nbl_get_instance_proc_addr real) {
    state() = {};
    state().get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(real);
    return reinterpret_cast<nbl_get_instance_proc_addr>(&get);
  }
  // True where the last device was made with the extension and its feature.
  static bool enabled() { return state().enabled; }

 private:
  struct State {
    PFN_vkGetInstanceProcAddr get = nullptr;
    PFN_vkGetPhysicalDeviceProperties2 properties = nullptr;
    PFN_vkCreateDevice create = nullptr;
    bool enabled = false;
  };
  static State& state() {
    static State instance;
    return instance;
  }

  template <typename Wanted>
  static Wanted* find(const void* chain, VkStructureType type) {
    auto* link = static_cast<VkBaseOutStructure*>(const_cast<void*>(chain));
    while (link != nullptr && link->sType != type)
      link = link->pNext;
    return reinterpret_cast<Wanted*>(link);
  }

  static VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice device,
                                               VkPhysicalDeviceProperties2* out) {
    state().properties(device, out);
    auto* dot = find<VkPhysicalDeviceShaderIntegerDotProductProperties>(
        out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES);
    if (dot != nullptr) dot->integerDotProduct4x8BitPackedSignedAccelerated = VK_TRUE;
  }

  static VKAPI_ATTR VkResult VKAPI_CALL create(VkPhysicalDevice physical,
                                               const VkDeviceCreateInfo* info,
                                               const VkAllocationCallbacks* host,
                                               VkDevice* device) {
    bool named = false;
    for (uint32_t i = 0; i < info->enabledExtensionCount; ++i) {
      const std::string_view name = info->ppEnabledExtensionNames[i];
      named = named || name == VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
    }
    const auto* dot = find<VkPhysicalDeviceShaderIntegerDotProductFeatures>(
        info->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES);
    state().enabled = named && dot != nullptr && dot->shaderIntegerDotProduct == VK_TRUE;
    return state().create(physical, info, host, device);
  }

  static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get(VkInstance instance, const char* name) {
    const PFN_vkVoidFunction real = state().get(instance, name);
    if (real == nullptr) return nullptr;
    if (std::strcmp(name, "vkGetPhysicalDeviceProperties2") == 0) {
      state().properties = reinterpret_cast<PFN_vkGetPhysicalDeviceProperties2>(real);
      return reinterpret_cast<PFN_vkVoidFunction>(&properties);
    }
    if (std::strcmp(name, "vkCreateDevice") == 0) {
      state().create = reinterpret_cast<PFN_vkCreateDevice>(real);
      return reinterpret_cast<PFN_vkVoidFunction>(&create);
    }
    return real;
  }
};

}  // namespace nbl::test
