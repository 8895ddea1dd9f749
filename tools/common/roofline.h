// How near work comes to what its device can do.
#pragma once

#include <cstdint>
#include <string>

#include "tools/common/device_rates.h"

namespace nbl::tools {

// Below this share of both, in percent, it is neither bytes nor operations that take the time: it
// is waiting for memory, for other dispatches, for launches.
inline constexpr double kLatencyPercent = 40;

struct Roof {
  double gigabytes_per_second = 0;
  double gigaflops = 0;  // a second
  double intensity = 0;  // operations a byte
  double percent_of_copy = 0;
  double percent_of_peak = 0;  // past 100 with matrix units, which the peak does not use
  std::string bound;           // "bytes", "flops" or "latency"; empty where rates are not known
};

// Zero where a divisor is.
Roof roof_of(uint64_t bytes, uint64_t flops, uint64_t ns, const DeviceRates& rates);

}  // namespace nbl::tools
