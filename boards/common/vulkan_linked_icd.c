/* A Vulkan driver, linked. */
#include "boards/common/icd_interface.h"
#include "boards/common/vulkan_entry.h"

nbl_void_fn vk_icdGetInstanceProcAddr(void* instance, const char* name);
int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t* version);

nbl_get_instance_proc_addr nbl_vulkan_entry(char* why, size_t why_bytes) {
  const nbl_icd_negotiate negotiate = vk_icdNegotiateLoaderICDInterfaceVersion;
  if (!nbl_agree_with_icd(negotiate, "the linked driver", why, why_bytes)) return NULL;
  return vk_icdGetInstanceProcAddr;
}
