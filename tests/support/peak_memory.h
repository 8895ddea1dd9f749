// How much memory the process has ever held, for tests of what hostile sizes take.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace nbl::test {

// Of all that was touched; what is only reserved does not count.
inline uint64_t peak_memory_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace nbl::test
