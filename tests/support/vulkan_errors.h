// What each Vulkan function may return beside VK_SUCCESS, and which functions there must be.
#pragma once

#include <cstring>
#include <span>

#include "rt/vk/functions.h"

namespace nbl::test {

inline constexpr const char* kFunctionsNeeded[] = {
#define NBL_VK_LOADER(name) "vk" #name,
#define NBL_VK_INSTANCE(name) "vk" #name,
#define NBL_VK_DEVICE(name) "vk" #name,
#define NBL_VK_OPTIONAL(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
};

// Source  Vulkan 1.3 specification, the return codes of each command; codes of extensions that the
//         runtime never turns on are left out. Every command may return VK_ERROR_UNKNOWN as well.
inline std::span<const VkResult> errors_of(const char* call) {
  static constexpr VkResult kHost = VK_ERROR_OUT_OF_HOST_MEMORY;
  static constexpr VkResult kDevice = VK_ERROR_OUT_OF_DEVICE_MEMORY;
  static constexpr VkResult kUnknown = VK_ERROR_UNKNOWN;
  static constexpr VkResult kMost[] = {kHost, kDevice, kUnknown};
  static constexpr VkResult kInstance[] = {kHost,
                                           kDevice,
                                           VK_ERROR_INITIALIZATION_FAILED,
                                           VK_ERROR_LAYER_NOT_PRESENT,
                                           VK_ERROR_EXTENSION_NOT_PRESENT,
                                           VK_ERROR_INCOMPATIBLE_DRIVER,
                                           kUnknown};
  static constexpr VkResult kVersion[] = {kHost, kUnknown};
  static constexpr VkResult kDevices[] = {kHost, kDevice, VK_ERROR_INITIALIZATION_FAILED, kUnknown};
  static constexpr VkResult kExtensions[] = {kHost, kDevice, VK_ERROR_LAYER_NOT_PRESENT, kUnknown};
  static constexpr VkResult kCreateDevice[] = {kHost,
                                               kDevice,
                                               VK_ERROR_INITIALIZATION_FAILED,
                                               VK_ERROR_EXTENSION_NOT_PRESENT,
                                               VK_ERROR_FEATURE_NOT_PRESENT,
                                               VK_ERROR_TOO_MANY_OBJECTS,
                                               VK_ERROR_DEVICE_LOST,
                                               kUnknown};
  static constexpr VkResult kQueue[] = {kHost, kDevice, VK_ERROR_DEVICE_LOST, kUnknown};
  static constexpr VkResult kMemory[] = {kHost, kDevice, VK_ERROR_TOO_MANY_OBJECTS,
                                         VK_ERROR_INVALID_EXTERNAL_HANDLE, kUnknown};
  static constexpr VkResult kMap[] = {kHost, kDevice, VK_ERROR_MEMORY_MAP_FAILED, kUnknown};
  static constexpr VkResult kPool[] = {kHost, kDevice, VK_ERROR_FRAGMENTATION, kUnknown};
  static constexpr VkResult kSets[] = {kHost, kDevice, VK_ERROR_FRAGMENTED_POOL,
                                       VK_ERROR_OUT_OF_POOL_MEMORY, kUnknown};
  static constexpr VkResult kShader[] = {kHost, kDevice, VK_ERROR_INVALID_SHADER_NV, kUnknown};
  static constexpr VkResult kCache[] = {VK_INCOMPLETE, kHost, kDevice, kUnknown};
  static constexpr VkResult kWait[] = {VK_TIMEOUT, kHost, kDevice, VK_ERROR_DEVICE_LOST, kUnknown};
  static constexpr VkResult kQueries[] = {VK_NOT_READY, kHost, kDevice, VK_ERROR_DEVICE_LOST,
                                          kUnknown};
  static constexpr VkResult kPointer[] = {kHost, VK_ERROR_INVALID_EXTERNAL_HANDLE, kUnknown};
  static constexpr struct {
    const char* call;
    std::span<const VkResult> results;
  } kRows[] = {
      {"vkCreateInstance", kInstance},
      {"vkEnumerateInstanceVersion", kVersion},
      {"vkEnumeratePhysicalDevices", kDevices},
      {"vkEnumerateDeviceExtensionProperties", kExtensions},
      {"vkCreateDevice", kCreateDevice},
      {"vkDeviceWaitIdle", kQueue},
      {"vkQueueWaitIdle", kQueue},
      {"vkQueueSubmit", kQueue},
      {"vkAllocateMemory", kMemory},
      {"vkMapMemory", kMap},
      {"vkCreateDescriptorPool", kPool},
      {"vkAllocateDescriptorSets", kSets},
      {"vkCreateShaderModule", kShader},
      {"vkCreateComputePipelines", kShader},
      {"vkGetPipelineCacheData", kCache},
      {"vkWaitForFences", kWait},
      {"vkGetQueryPoolResults", kQueries},
      {"vkGetMemoryHostPointerPropertiesEXT", kPointer},
  };
  for (const auto& row : kRows) {
    if (std::strcmp(row.call, call) == 0) return row.results;
  }
  return kMost;
}

}  // namespace nbl::test
