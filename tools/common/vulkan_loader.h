// The Vulkan loader of this machine, opened at run time: the tools start, print their help and
// explain themselves on machines without Vulkan.
#pragma once

#include "rt/nibble.h"

namespace nbl::tools {

// Opens libvulkan once and keeps it until the process ends: drivers start threads of their own and
// do not take being unloaded well.
//
// Errors  Failure where there is no loader.
nbl_get_instance_proc_addr load_vulkan();

}  // namespace nbl::tools
