// How fast the device copies its own memory: the yardstick for kernels that only read weights.
#pragma once

#include <cstdint>
#include <string>

#include "rt/nibble.h"

namespace nbl::tools {

struct CopyBandwidth {
  uint64_t copy_bytes = 0;          // of one copy
  uint32_t copies = 0;              // in the timed submit
  double gigabytes_per_second = 0;  // bytes read plus bytes written, 10^9
};

// Times vkCmdCopyBuffer between two device-local buffers of 256 MiB, less where they do not fit.
//
// device_index counts as vkEnumeratePhysicalDevices does; below 0 the first device called
// device_name is taken. Opens and closes a Vulkan instance of its own.
// Errors  Failure, naming the call.
CopyBandwidth measure_copy_bandwidth(nbl_get_instance_proc_addr get_instance_proc_addr,
                                     int32_t device_index, const std::string& device_name);

}  // namespace nbl::tools
