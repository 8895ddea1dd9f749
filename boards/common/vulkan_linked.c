/* Vulkan's loader, linked. */
#include "boards/common/vulkan_entry.h"

nbl_void_fn vkGetInstanceProcAddr(void* instance, const char* name);

nbl_get_instance_proc_addr nbl_vulkan_entry(char* why, size_t why_bytes) {
  (void)why;
  (void)why_bytes;
  return vkGetInstanceProcAddr;
}
