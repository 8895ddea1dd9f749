// What a device can do: the yardsticks for kernels.
#pragma once

#include <cstdint>

#include "rt/nibble.h"

namespace nbl::tools {

struct CopyBandwidth {
  uint64_t pass_bytes = 0;          // read and written by one pass
  uint32_t passes = 0;              // in the timed submit
  double gigabytes_per_second = 0;  // bytes read plus bytes written, 10^9
};

// All zero: not measured.
struct DeviceRates {
  CopyBandwidth copy;
  double gigaflops = 0;  // 10^9 float32 operations a second, a multiply-add being two
};

// Opens and closes Vulkan instances of its own. The best of three rounds after a first one: nothing
// but noise makes a round slower.
//
// copy       The runtime's own add kernel, c = a + b, over three device-local buffers of 128 MiB,
//            less where they do not fit. A kernel, not vkCmdCopyBuffer: on some devices (an H100:
//            0.84 against 3 TB/s) the driver's copies are several times slower than what shaders
//            reach.
// gigaflops  Chains of multiply-adds in registers (spirv/fma_peak.comp).
//
// Units   device_index counts as vkEnumeratePhysicalDevices does; below 0 the first device that
//         fits is taken.
// Errors  Failure, naming the call.
DeviceRates measure_device(nbl_get_instance_proc_addr get_instance_proc_addr, int32_t device_index);

}  // namespace nbl::tools
