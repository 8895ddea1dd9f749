/* Vulkan opened at run time, by name. */
#include <dlfcn.h>
#include <stdio.h>

#include "boards/common/icd_interface.h"
#include "boards/common/vulkan_entry.h"

/* POSIX says that what dlsym returns is a function's address too, which ISO C has no cast for. */
static nbl_void_fn find(void* library, const char* name) {
  nbl_void_fn function = NULL;
  *(void**)&function = dlsym(library, name);
  return function;
}

static nbl_get_instance_proc_addr entry_of(void* library, const char* path, char* why,
                                           size_t why_bytes) {
  /* Drivers may have both entry points; that of a loader is then a leftover of interface version 0.
   */
  const nbl_void_fn driver = find(library, "vk_icdGetInstanceProcAddr");
  if (driver != NULL) {
    const nbl_void_fn negotiate = find(library, "vk_icdNegotiateLoaderICDInterfaceVersion");
    if (!nbl_agree_with_icd((nbl_icd_negotiate)negotiate, path, why, why_bytes)) return NULL;
    return (nbl_get_instance_proc_addr)driver;
  }
  const nbl_void_fn loader = find(library, "vkGetInstanceProcAddr");
  if (loader == NULL) {
    snprintf(why, why_bytes,
             "%s is no Vulkan: it has neither vkGetInstanceProcAddr, as a loader has, nor "
             "vk_icdGetInstanceProcAddr, as a driver has",
             path);
  }
  return (nbl_get_instance_proc_addr)loader;
}

nbl_get_instance_proc_addr nbl_vulkan_entry_of(const char* library, char* why, size_t why_bytes) {
  void* const opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (opened == NULL) {
    const char* const reason = dlerror();
    snprintf(why, why_bytes, "there is no Vulkan library %s that can be opened: %s", library,
             reason == NULL ? "the system does not say why" : reason);
    return NULL;
  }
  const nbl_get_instance_proc_addr entry = entry_of(opened, library, why, why_bytes);
  if (entry == NULL) dlclose(opened);
  return entry;
}

nbl_get_instance_proc_addr nbl_vulkan_entry(char* why, size_t why_bytes) {
  const nbl_get_instance_proc_addr entry = nbl_vulkan_entry_of("libvulkan.so.1", why, why_bytes);
  /* Android's has no version in its name. */
  return entry != NULL ? entry : nbl_vulkan_entry_of("libvulkan.so", NULL, 0);
}
