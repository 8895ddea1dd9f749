// The one place where a VkResult becomes a Status.
#pragma once

#include "rt/vk/device.h"

namespace nbl {

// Units   `call` names the Vulkan function, for the sentence.
// Errors  device_lost, or vulkan_call with the negated code.
Status translate(VkResult result, const char* call, Error* error);

// The same with the device's pool in view: where the driver has asked it for more than it holds,
// that is the reason of whatever failed. Errors  as above; driver_pool_full.
Status check(const Device& device, VkResult result, const char* call, Error* error);

// Where the pool of driver host memory has been full: driver_pool_full, value = the largest request
// that failed, limit = what the pool holds. Success otherwise.
Status check_pool(const VkAllocationCallbacks& host, const char* call, Error* error);

}  // namespace nbl

// Calls a function of the table and hands a failure to the caller.
#define NBL_VK(device, error, name, ...) \
  NBL_TRY(::nbl::check((device), (device).fn.name(__VA_ARGS__), "vk" #name, (error)))
