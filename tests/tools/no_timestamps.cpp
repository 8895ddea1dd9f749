// The machine's Vulkan, whose devices have no timestamps: a library for programs to find in place
// of the loader.
//
// Environment  NIBBLE_REAL_VULKAN=path    of the loader
#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <vulkan/vulkan_core.h>

#include <cstdlib>
#include <cstring>

namespace {

PFN_vkGetPhysicalDeviceQueueFamilyProperties real_properties;

VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice device, uint32_t* count,
                                      VkQueueFamilyProperties* families) {
  real_properties(device, count, families);
  for (uint32_t i = 0; families != nullptr && i < *count; ++i)
    families[i].timestampValidBits = 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) PFN_vkVoidFunction vkGetInstanceProcAddr(
    VkInstance instance, const char* name) {
  static const auto real = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(
      dlopen(std::getenv("NIBBLE_REAL_VULKAN"), RTLD_NOW | RTLD_LOCAL), "vkGetInstanceProcAddr"));
  const PFN_vkVoidFunction function = real(instance, name);
  if (std::strcmp(name, "vkGetPhysicalDeviceQueueFamilyProperties") != 0) return function;
  real_properties = reinterpret_cast<PFN_vkGetPhysicalDeviceQueueFamilyProperties>(function);
  return reinterpret_cast<PFN_vkVoidFunction>(&properties);
}
