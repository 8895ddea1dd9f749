#include "boards/common/icd_interface.h"

#include <stdio.h>

int nbl_agree_with_icd(nbl_icd_negotiate negotiate, const char* driver, char* why,
                       size_t why_bytes) {
  if (negotiate == NULL) return 1;
  uint32_t version = NBL_ICD_OFFERED;
  const int32_t result = negotiate(&version);
  if (result != 0) {
    snprintf(why, why_bytes,
             "%s is a Vulkan driver that refuses version %d of the driver interface (VkResult %d)",
             driver, NBL_ICD_OFFERED, (int)result);
    return 0;
  }
  if (version < NBL_ICD_OLDEST || version > NBL_ICD_OFFERED) {
    snprintf(why, why_bytes,
             "%s is a Vulkan driver of interface version %u, and %d to %d can be used: "
             "install a Vulkan loader, or another driver",
             driver, (unsigned)version, NBL_ICD_OLDEST, NBL_ICD_OFFERED);
    return 0;
  }
  return 1;
}
