// The Vulkan functions that the runtime calls, reached through the caller's vkGetInstanceProcAddr.
// Each engine holds its own table: the library links no loader and keeps no globals.
#pragma once

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan_core.h>

#include "rt/base/status.h"
#include "rt/vk/khr_matrix.h"

namespace nbl {

// Members are named as in Vulkan without the vk prefix and are null until their group is loaded.
struct Functions {
  PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define NBL_VK_LOADER(name) PFN_vk##name name;
#define NBL_VK_INSTANCE(name) PFN_vk##name name;
#define NBL_VK_DEVICE(name) PFN_vk##name name;
#define NBL_VK_OPTIONAL(name) PFN_vk##name name;
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
};

// Clears *functions and finds the loader group.
// Errors  missing_argument; no_vulkan (name = the function that is not there).
Status load_loader(PFN_vkGetInstanceProcAddr get, Functions* functions, Error* error);

// Finds the instance group. Errors as above.
Status load_instance(VkInstance instance, Functions* functions, Error* error);

// Finds the device group. Errors as above; optional functions may stay null.
Status load_device(VkDevice device, Functions* functions, Error* error);

}  // namespace nbl
