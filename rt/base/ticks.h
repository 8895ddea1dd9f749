// Device timestamps as times: counters of 0 to 64 valid bits that wrap, and a tick that lasts no
// whole number of nanoseconds.
#pragma once

#include <cstdint>

namespace nbl {

// Nanoseconds of `ticks`, rounded down, 2^64 - 1 where they are more. Exact for any count: the
// period enters as the binary fraction that a float is, and nothing in between is rounded.
//
// Units  period_ns: finite, above 0.
uint64_t ticks_to_ns(uint64_t ticks, float period_ns);

// When a dispatch ran, in ticks since the origin.
struct TickSpan {
  uint64_t start;
  uint64_t end;
};

// Makes spans that follow each other of the stamps around dispatches.
//
// A begin stamp may lie before the end of earlier dispatches, because the device ran them side by
// side or because its driver takes all begin stamps when a submit starts; an end stamp may lie
// before an earlier one, too. So: start = max(begin, latest end before), end = max(start, end),
// where the origin counts as an end. The sum of all spans is then never more than the time that
// passed.
//
// A stamp counts as earlier than the latest one where it is at least half of the counter's range
// ahead: 2^35 ticks at the 36 bits that Vulkan asks for. The sum of spans has no such bound.
class TickTimeline {
 public:
  // Units  valid_bits: VkQueueFamilyProperties::timestampValidBits. With 0 every span is empty.
  //        origin: the stamp taken when everything before the first dispatch had ended.
  TickTimeline(uint32_t valid_bits, uint64_t origin);

  // The next dispatch, by the stamps before and after it.
  TickSpan next(uint64_t begin, uint64_t end);

 private:
  void advance(uint64_t stamp);

  uint64_t mask_;
  uint64_t half_;    // of the range
  uint64_t latest_;  // stamp
  uint64_t elapsed_ = 0;
};

}  // namespace nbl
