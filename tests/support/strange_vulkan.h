// The machine's Vulkan passing as another device: what it says of itself and of the memory that
// images take can be changed. It counts device memory and images.
//
// Its state is the process's, as Vulkan's functions carry none of their own: one test at a time.
#pragma once

#include <cstdint>
#include <functional>

#include "rt/nibble.h"

namespace nbl::test {

// Zero and empty leave what the device says.
struct StrangeDevice {
  uint32_t vendor_id = 0;
  uint32_t max_image_dim = 0;
  uint64_t max_allocation_bytes = 0;
  uint32_t cpu_cores = 0;  // what Caps::cores comes to be
  // The bytes of an image of so many rows, which by itself takes `bytes`; not less than those.
  std::function<uint64_t(uint32_t rows, uint64_t bytes)> image_bytes = nullptr;
};

class StrangeVulkan {
 public:
  // The entry to hand to an engine; counts start at zero.
  static nbl_get_instance_proc_addr over(nbl_get_instance_proc_addr real, StrangeDevice device);

  static uint64_t allocated_bytes();  // device memory alive
  static uint32_t images_made();      // ever
  static uint32_t images_alive();
};

}  // namespace nbl::test
