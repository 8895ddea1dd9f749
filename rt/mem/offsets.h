// The offline offset planner: where each tensor lies in a block that all of them share.
//
//   plan_offsets(intervals, 256, scratch, offsets, &total, error);
//   NBL_ASSERT(check_offsets(intervals, 256, offsets, total));
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rt/base/limits.h"
#include "rt/base/status.h"

namespace nbl {

// A tensor's size and the time it lives, both ends included: first_use <= last_use.
struct Interval {
  uint64_t bytes;
  uint32_t first_use;
  uint32_t last_use;
};

// Working memory of plan_offsets(), to be aligned to 8.
constexpr size_t offsets_scratch_bytes(size_t count) {
  return 24 * count;
}

// Gives each interval an offset, so that no two that live at the same time overlap.
// Keeps the best of several greedy orders; the same input gives the same output everywhere. Time is
// quadratic in the count: on a desktop core at most 0.1 s for 500 intervals, 1 s for 4096.
//
// Shapes   offsets has intervals.size() elements; scratch at least offsets_scratch_bytes(of that).
// Units    align_bytes is a power of two; offsets and *total_bytes are multiples of it.
// Errors   device_limit (name = "activation memory") where the bytes cannot be counted in 63 bits.
//          Outputs are then unspecified.
// Source   Pisarchyk, Lee: "Efficient memory management for deep neural net inference", 2020, for
// the
//          greedy orders by size and by breadth.
Status plan_offsets(std::span<const Interval> intervals, uint64_t align_bytes,
                    std::span<std::byte> scratch, std::span<uint64_t> offsets,
                    uint64_t* total_bytes, Error* error);

// The largest number of (aligned) bytes live at one time: no placement is smaller.
// The caller knows that the sum of all fits 64 bits.
uint64_t lower_bound_bytes(std::span<const Interval> intervals, uint64_t align_bytes);

// The planner's oracle, which shares nothing with it: true where every offset is aligned, every
// interval ends within total_bytes, and no two that live at the same time overlap.
bool check_offsets(std::span<const Interval> intervals, uint64_t align_bytes,
                   std::span<const uint64_t> offsets, uint64_t total_bytes);

}  // namespace nbl
