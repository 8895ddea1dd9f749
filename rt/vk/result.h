// The one place where a VkResult becomes a Status.
#pragma once

#include "rt/base/status.h"
#include "rt/vk/functions.h"

namespace nbl {

// Units   `call` names the Vulkan function, for the sentence.
// Errors  device_lost, device_memory_full, driver_pool_full, or vulkan_call with the negated code.
inline Status check(VkResult result, const char* call, Error* error) {
  switch (result) {
    case VK_SUCCESS:
      return {};
    case VK_ERROR_DEVICE_LOST:
      return fail(error, Code::device_lost, 0, call);
    default:
      return fail(error, Code::vulkan_call, 0, call,
                  static_cast<uint64_t>(-static_cast<int64_t>(result)));
  }
}

}  // namespace nbl

// Calls a function of the table and hands a failure to the caller.
#define NBL_VK(device, error, name, ...) \
  NBL_TRY(::nbl::check((device).fn.name(__VA_ARGS__), "vk" #name, (error)))
