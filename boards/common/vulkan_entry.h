/* Where an image gets Vulkan from: the entry point that nbl_config wants. Link exactly one of
 *
 *   vulkan_hosted.c      opens the loader, or a driver where there is none, while running: dlopen
 *   vulkan_linked.c      a build that links the loader (-lvulkan)
 *   vulkan_linked_icd.c  a build that links a driver, such as a Mesa built into the image
 *
 * and call
 *
 *   char why[NBL_VULKAN_WHY_BYTES];
 *   config.get_instance_proc_addr = nbl_vulkan_entry(why, sizeof why);
 *   if (config.get_instance_proc_addr == NULL) puts(why);
 *
 * Vulkan stays until the process ends: drivers start threads of their own and do not take being
 * unloaded well. */
#ifndef NIBBLE_BOARDS_COMMON_VULKAN_ENTRY_H
#define NIBBLE_BOARDS_COMMON_VULKAN_ENTRY_H

#include <stddef.h>

#include "rt/nibble.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Holds any sentence below whose library has a path of up to 512 bytes. Less cuts it. */
enum { NBL_VULKAN_WHY_BYTES = 1024 };

/* The entry point, or NULL and one sentence in `why` (which may be NULL where `why_bytes` is 0). */
nbl_get_instance_proc_addr nbl_vulkan_entry(char* why, size_t why_bytes);

/* The same of a library by name or path: a loader, or a driver (ICD) in its place. In
 * vulkan_hosted.c alone, whose nbl_vulkan_entry() tries libvulkan.so.1 and libvulkan.so. Errors: no
 * such library; one that is neither loader nor driver; a driver that refuses or speaks too old an
 * interface (NBL_ICD_OLDEST in icd_interface.h). */
nbl_get_instance_proc_addr nbl_vulkan_entry_of(const char* library, char* why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
