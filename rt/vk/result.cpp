#include "rt/vk/result.h"

#include "rt/mem/pool.h"

namespace nbl {

Status translate(VkResult result, const char* call, Error* error) {
  if (result == VK_SUCCESS) return {};
  if (result == VK_ERROR_DEVICE_LOST) return fail(error, Code::device_lost, 0, call);
  return fail(error, Code::vulkan_call, 0, call,
              static_cast<uint64_t>(-static_cast<int64_t>(result)));
}

Status check(const Device& device, VkResult result, const char* call, Error* error) {
  if (result != VK_SUCCESS && result != VK_ERROR_DEVICE_LOST) {
    NBL_TRY(check_pool(device.host, call, error));
  }
  return translate(result, call, error);
}

Status check_pool(const VkAllocationCallbacks& host, const char* call, Error* error) {
  if (host.pUserData == nullptr) return {};
  const PoolStats stats = static_cast<const Pool*>(host.pUserData)->stats();
  if (stats.largest_failure_bytes == 0) return {};
  return fail(error, Code::driver_pool_full, 0, call, stats.largest_failure_bytes,
              stats.capacity_bytes);
}

}  // namespace nbl
