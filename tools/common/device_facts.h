// What a device says about itself, as a board file and for people.
#pragma once

#include <string>

#include "rt/kernels/caps.h"
#include "rt/nibble.h"
#include "tools/common/device_rates.h"

namespace nbl::tools {

struct DeviceFacts {
  Caps caps = {};
  std::string driver;  // "llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)"
};

// As the runtime sees the device. Opens and closes a Vulkan instance of its own.
//
// Units   device_index counts as vkEnumeratePhysicalDevices does; below 0 the first device that
//         fits is taken.
// Errors  Failure, naming the call.
DeviceFacts facts_of(nbl_get_instance_proc_addr get_instance_proc_addr, int32_t device_index);

// The text of a board.json (boards/boards.h) of this device. Its memory's speed is the measured
// one where there is one, else an estimate by the kind of device.
std::string board_of(const DeviceFacts& facts, const DeviceRates& rates);

// Lines: version, features, limits that decide what fits, and memory heaps with their types.
std::string describe_device(const DeviceFacts& facts);

}  // namespace nbl::tools
