#include "tools/common/roofline.h"

#include <algorithm>

namespace nbl::tools {
namespace {

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

}  // namespace

Roof roof_of(uint64_t bytes, uint64_t flops, uint64_t ns, const DeviceRates& rates) {
  Roof roof;
  const auto time_ns = static_cast<double>(ns);
  roof.gigabytes_per_second = ratio(static_cast<double>(bytes), time_ns);
  roof.gigaflops = ratio(static_cast<double>(flops), time_ns);
  roof.intensity = ratio(static_cast<double>(flops), static_cast<double>(bytes));
  roof.percent_of_copy = ratio(roof.gigabytes_per_second, rates.copy.gigabytes_per_second) * 100;
  roof.percent_of_peak = ratio(roof.gigaflops, rates.gigaflops) * 100;
  const bool known = rates.copy.gigabytes_per_second > 0 && rates.gigaflops > 0;
  if (!known || ns == 0) return roof;
  if (std::max(roof.percent_of_copy, roof.percent_of_peak) < kLatencyPercent) {
    roof.bound = "latency";
  } else {
    roof.bound = roof.percent_of_copy >= roof.percent_of_peak ? "bytes" : "flops";
  }
  return roof;
}

}  // namespace nbl::tools
