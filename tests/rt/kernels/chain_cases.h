// What tests of chains share.
#pragma once

#include "tests/support/gpu.h"

namespace nbl::test {

// The device as one of so many cores, which chains are made for.
inline Caps caps_of_cores(const Gpu& gpu, uint32_t cores) {
  Caps caps = gpu.caps();
  caps.kind = DeviceKind::discrete;
  caps.features &= ~uint32_t{kScalarLoads};
  caps.cores = cores;
  return caps;
}

}  // namespace nbl::test
