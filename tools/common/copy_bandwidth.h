// How fast kernels can move the device's memory: the yardstick for kernels that only read weights.
#pragma once

#include <cstdint>

#include "rt/nibble.h"

namespace nbl::tools {

struct CopyBandwidth {
  uint64_t pass_bytes = 0;          // read and written by one pass
  uint32_t passes = 0;              // in the timed submit
  double gigabytes_per_second = 0;  // bytes read plus bytes written, 10^9
};

// Times the runtime's own add kernel, c = a + b, over three device-local buffers of 128 MiB, less
// where they do not fit. A kernel, not vkCmdCopyBuffer: on some devices (an H100: 0.84 against 3
// TB/s) the driver's copies are several times slower than what shaders reach.
//
// device_index counts as vkEnumeratePhysicalDevices does; below 0 the first device that fits is
// taken. Opens and closes a Vulkan instance of its own.
// Errors  Failure, naming the call.
CopyBandwidth measure_copy_bandwidth(nbl_get_instance_proc_addr get_instance_proc_addr,
                                     int32_t device_index);

}  // namespace nbl::tools
