// Instance, device and queue of one engine.
#pragma once

#include <span>

#include "rt/kernels/caps.h"
#include "rt/vk/caps.h"
#include "rt/vk/functions.h"

namespace nbl {

struct Device {
  Functions fn{};
  VkAllocationCallbacks host{};
  VkInstance instance = VK_NULL_HANDLE;
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  uint32_t queue_family = 0;
  uint8_t cache_uuid[VK_UUID_SIZE] = {};
  Caps caps{};
};

// Picks a physical device, makes a logical one with a compute queue, and fills device->caps.
//
// Units    index: 1 + the position in vkEnumeratePhysicalDevices order; 0 = the first that fits,
//          GPUs before CPU implementations.
// Borrows  scratch during the call (kExtensionScratch entries); `host` and what it points to until
//          close_device().
// Errors   no_vulkan, no_device, no_such_device, device_limit, vulkan_call. What was made so far is
//          in *device: close_device() is due in any case.
Status open_device(PFN_vkGetInstanceProcAddr get, const VkAllocationCallbacks& host, uint32_t index,
                   std::span<VkExtensionProperties> scratch, Device* device, Error* error);

// Destroys what open_device() made, as far as it came. Everything made with the device is gone
// before.
void close_device(Device* device);

}  // namespace nbl
