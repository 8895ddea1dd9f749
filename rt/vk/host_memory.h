// The driver's host allocations, served from a bounded pool in the arena.
#pragma once

#include "rt/mem/pool.h"
#include "rt/vk/functions.h"

namespace nbl {

// Callbacks over `pool`, which must stay where it is while any object made with them lives.
VkAllocationCallbacks pool_callbacks(Pool* pool);

}  // namespace nbl
