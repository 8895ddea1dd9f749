#include "rt/vk/host_memory.h"

namespace nbl {
namespace {

PoolScope scope_of(VkSystemAllocationScope scope) {
  return scope <= VK_SYSTEM_ALLOCATION_SCOPE_INSTANCE ? static_cast<PoolScope>(scope)
                                                      : PoolScope::instance;
}

VKAPI_ATTR void* VKAPI_CALL allocate(void* user, size_t size, size_t alignment,
                                     VkSystemAllocationScope scope) {
  return static_cast<Pool*>(user)->allocate(size, alignment, scope_of(scope));
}

VKAPI_ATTR void* VKAPI_CALL reallocate(void* user, void* original, size_t size, size_t alignment,
                                       VkSystemAllocationScope scope) {
  return static_cast<Pool*>(user)->reallocate(original, size, alignment, scope_of(scope));
}

VKAPI_ATTR void VKAPI_CALL release(void* user, void* memory) {
  static_cast<Pool*>(user)->free(memory);
}

}  // namespace

VkAllocationCallbacks pool_callbacks(Pool* pool) {
  return {pool, allocate, reallocate, release, nullptr, nullptr};
}

}  // namespace nbl
