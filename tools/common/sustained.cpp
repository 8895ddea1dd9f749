#include "tools/common/sustained.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/table.h"

namespace nbl::tools {

double Sustained::seconds() const {
  double sum = 0;
  for (const Interval& interval : intervals)
    sum += interval.seconds;
  return sum;
}

uint64_t Sustained::tokens() const {
  uint64_t sum = 0;
  for (const Interval& interval : intervals)
    sum += interval.tokens;
  return sum;
}

double Sustained::lowest_share() const {
  if (intervals.empty() || intervals[0].rate() <= 0) return 1;
  double lowest = intervals[0].rate();
  for (const Interval& interval : intervals)
    lowest = std::min(lowest, interval.rate());
  return lowest / intervals[0].rate();
}

Sustained sustain(double seconds, const SustainedWork& work) {
  Sustained result;
  result.before = work.temperatures();
  const double start = work.now_seconds();
  double begun = start;
  Interval interval;
  // Which interval ends next, counted from 1.
  for (uint32_t ends = 1; ends <= kSustainedIntervals;) {
    interval.tokens += work.run();
    const double now = work.now_seconds();
    if (now - start < seconds * ends / kSustainedIntervals) continue;
    interval.seconds = now - begun;
    interval.temperatures = work.temperatures();
    result.intervals.push_back(interval);
    interval = {};
    begun = now;
    while (ends <= kSustainedIntervals && now - start >= seconds * ends / kSustainedIntervals)
      ++ends;
  }
  return result;
}

std::string sustained_table(const Sustained& sustained) {
  if (sustained.intervals.empty()) return "";
  Row header = {"until s", "tokens/s", "% of first"};
  for (const Temperature& zone : sustained.before)
    header.push_back(zone.zone + " °C");
  const double first = sustained.intervals[0].rate();
  std::vector<Row> rows;
  double until = 0;
  for (const Interval& interval : sustained.intervals) {
    until += interval.seconds;
    Row row = {fmt::format("{:.1f}", until), fmt::format("{:.2f}", interval.rate()),
               first > 0 ? fmt::format("{:.1f}", interval.rate() / first * 100) : ""};
    for (const Temperature& zone : sustained.before) {
      const auto found =
          std::find_if(interval.temperatures.begin(), interval.temperatures.end(),
                       [&](const Temperature& other) { return other.zone == zone.zone; });
      const bool there = found != interval.temperatures.end();
      row.push_back(there ? fmt::format("{:.1f}", found->celsius) : "");
    }
    rows.push_back(row);
  }
  return fmt::format(
      "\nsustained {:.1f} s, {} tokens\n{}\nslowest interval: {:.1f} % of the first: {}\n",
      sustained.seconds(), sustained.tokens(), aligned_table(header, rows, 0),
      sustained.lowest_share() * 100,
      sustained.throttled() ? fmt::format("it throttles (below {:.0f} %)", kThrottledShare * 100)
                            : "it keeps its speed");
}

}  // namespace nbl::tools
