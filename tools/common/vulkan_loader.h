// Vulkan on this machine, opened at run time: the tools start, print their help and explain
// themselves on machines without it.
#pragma once

#include "rt/nibble.h"

namespace nbl::tools {

// The loader, or the loader or driver that the environment variable NIBBLE_VULKAN names. Stays
// until the process ends.
//
// Errors  Failure, as of nbl_vulkan_entry_of() in boards/common/vulkan_entry.h.
nbl_get_instance_proc_addr load_vulkan();

}  // namespace nbl::tools
