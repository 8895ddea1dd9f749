// The fake's functions, declared from the table that the runtime loads: one that is missing is an
// error of the linker.
#pragma once

#include <type_traits>

#include "rt/vk/functions.h"

namespace nbl::fake {

#define NBL_VK_LOADER(name)
#define NBL_VK_INSTANCE(name) std::remove_pointer_t<PFN_vk##name> name;
#define NBL_VK_DEVICE(name) std::remove_pointer_t<PFN_vk##name> name;
#define NBL_VK_OPTIONAL(name) std::remove_pointer_t<PFN_vk##name> name;
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL

}  // namespace nbl::fake
