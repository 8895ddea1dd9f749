// The machine's Vulkan with the limits of another device: it reports them, and whoever goes past
// them is told. What the machine's own device has not stays away.
//
// Reported  limits, features, extensions, subgroup size and operations, heaps and memory types.
// Enforced  features and extensions of a device; sizes of allocations and heaps; memory that the
//           host must not map; ranges and offsets of bindings; storage buffers a stage; push
//           constants; of each pipeline the work-group, its shared memory and its capabilities,
//           from the SPIR-V with its specialisation; grids; sizes of images.
// Memory    that is not coherent is seen by the host through a copy: what is written there reaches
//           the device with vkFlushMappedMemoryRanges() alone, whole atoms of nonCoherentAtomSize
//           of them, and what the device writes reaches the host with
//           vkInvalidateMappedMemoryRanges().
// Not       subgroups: kernels run with those of the machine's device, whatever is reported.
//
// Its state is the process's, as Vulkan's functions carry none of their own: one test at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rt/kernels/caps.h"
#include "rt/nibble.h"

namespace nbl::test {

class ClampedVulkan {
 public:
  // The entry to hand to an engine. The device says that it has the first limits and has the second
  // ones; they differ only in tests of this class.
  static nbl_get_instance_proc_addr over(nbl_get_instance_proc_addr real, const Caps& says,
                                         const Caps& is);
  static nbl_get_instance_proc_addr over(nbl_get_instance_proc_addr real, const Caps& caps) {
    return over(real, caps, caps);
  }

  // What went past a limit, each kind once.
  static const std::vector<std::string>& broken();

  static uint64_t flushes();
  static uint64_t invalidations();
  // Of all heaps, the largest sum of allocations at one time.
  static uint64_t peak_bytes(uint32_t heap);
};

}  // namespace nbl::test
