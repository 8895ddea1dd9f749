#include "tools/common/vulkan_loader.h"

#include <dlfcn.h>

#include <string>

#include "tools/common/failure.h"

namespace nbl::tools {

nbl_get_instance_proc_addr load_vulkan() {
  constexpr const char* kName = "libvulkan.so.1";
  void* library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw Failure(std::string("no Vulkan on this machine: ") +
                  (reason != nullptr ? reason : "libvulkan.so.1 cannot be opened") +
                  "; install the Vulkan loader and a driver");
  }
  void* entry = dlsym(library, "vkGetInstanceProcAddr");
  if (entry == nullptr) {
    throw Failure(std::string("no Vulkan on this machine: ") + kName +
                  " has no vkGetInstanceProcAddr");
  }
  return reinterpret_cast<nbl_get_instance_proc_addr>(entry);
}

}  // namespace nbl::tools
