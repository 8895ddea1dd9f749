#include "tools/common/vulkan_loader.h"

#include <cstdlib>
#include <string>

#include "boards/common/vulkan_entry.h"
#include "tools/common/failure.h"

namespace nbl::tools {

nbl_get_instance_proc_addr load_vulkan() {
  char why[NBL_VULKAN_WHY_BYTES];
  const char* const named = std::getenv("NIBBLE_VULKAN");
  if (named != nullptr && named[0] != '\0') {
    const nbl_get_instance_proc_addr entry = nbl_vulkan_entry_of(named, why, sizeof why);
    if (entry == nullptr) throw Failure(std::string("NIBBLE_VULKAN: ") + why);
    return entry;
  }
  const nbl_get_instance_proc_addr entry = nbl_vulkan_entry(why, sizeof why);
  if (entry == nullptr) {
    throw Failure(std::string("no Vulkan on this machine: ") + why +
                  "; install the Vulkan loader and a driver");
  }
  return entry;
}

}  // namespace nbl::tools
