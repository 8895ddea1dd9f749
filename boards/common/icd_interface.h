/* What a Vulkan driver (ICD) and whoever calls it agree on, where there is no loader between them:
 * the interface of LoaderDriverInterface.md in Khronos' Vulkan-Loader. */
#ifndef NIBBLE_BOARDS_COMMON_ICD_INTERFACE_H
#define NIBBLE_BOARDS_COMMON_ICD_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version that is offered, and the oldest that is accepted. 5 says that any version of Vulkan
 * may be asked for in vkCreateInstance; 2 is the first that is agreed upon at all. What lies
 * between is about windows and about functions that only loaders pass on. */
enum { NBL_ICD_OFFERED = 5, NBL_ICD_OLDEST = 2 };

/* vk_icdNegotiateLoaderICDInterfaceVersion: a VkResult, 0 for success; *version is what the caller
 * offers, and then what both use. */
typedef int32_t (*nbl_icd_negotiate)(uint32_t* version);

/* Agrees on a version. 1, or 0 and one sentence in `why` that begins with `driver`. NULL for
 * `negotiate` is a driver of version 1, which did not know negotiations: it is taken as it is. */
int nbl_agree_with_icd(nbl_icd_negotiate negotiate, const char* driver, char* why,
                       size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
