// The same work for a long time: does the device keep its speed when it gets warm?
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/common/power.h"
#include "tools/common/thermal.h"

namespace nbl::tools {

// Below this share of the first interval's speed a device is said to throttle.
inline constexpr double kThrottledShare = 0.9;
inline constexpr uint32_t kSustainedIntervals = 10;

struct Interval {
  double seconds = 0;
  uint64_t tokens = 0;
  std::vector<Temperature> temperatures;  // at its end

  double rate() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
};

struct Sustained {
  std::vector<Temperature> before;
  std::vector<Interval> intervals;
  std::vector<Energy> energy;  // of all intervals

  double seconds() const;
  uint64_t tokens() const;
  double lowest_share() const;  // the slowest interval's speed over the first one's; 1 = none is
  bool throttled() const { return lowest_share() < kThrottledShare; }
};

// What sustain() asks of the world.
struct SustainedWork {
  std::function<double()> now_seconds;
  std::function<uint64_t()> run;  // one piece of work: the tokens that it made
  std::function<std::vector<Temperature>()> temperatures;
};

// Runs pieces of work for so many seconds. Intervals end with the first piece that ends at or after
// their time: they are fewer than kSustainedIntervals where a piece takes longer than one.
Sustained sustain(double seconds, const SustainedWork& work);

// The intervals, and a sentence; empty where there are no intervals.
std::string sustained_table(const Sustained& sustained);

}  // namespace nbl::tools
