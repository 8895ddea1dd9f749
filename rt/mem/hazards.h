// Where a sequence of dispatches needs barriers: derived from what each reads and writes.
//
// A barrier is a global one: it orders everything before it against everything after it. Two
// accesses conflict where they touch a common byte and at least one of them writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rt/base/limits.h"

namespace nbl {

// Bytes [begin, end) of a memory block; an empty range touches nothing.
struct Access {
  uint64_t begin;
  uint64_t end;
  uint32_t block;
  bool read;
  bool write;
};

// What one dispatch touches. Accesses of the same dispatch never conflict with one another.
struct DispatchAccesses {
  uint32_t count = 0;
  Access accesses[kMaxBindings] = {};
};

// Fed dispatch by dispatch in their order; answers each time whether a barrier comes before it.
// Putting each barrier as late as possible gives the fewest for the order.
//
// Borrows  `since_barrier`, for as long as the tracker is in use. hazard_scratch_count() elements
//          are always enough; where fewer fill up, a barrier is put although none is needed yet.
class HazardTracker {
 public:
  explicit HazardTracker(std::span<Access> since_barrier) : pending_(since_barrier) {}

  // True where a barrier must come between the dispatches before and this one.
  bool next(std::span<const Access> accesses);

  // Tells that a barrier stands here for another reason, such as the end of a submit.
  void barrier() { count_ = 0; }

 private:
  bool conflicts(std::span<const Access> accesses) const;
  bool add(const Access& access);

  std::span<Access> pending_;
  size_t count_ = 0;
};

constexpr size_t hazard_scratch_count(size_t dispatch_count) {
  return kMaxBindings * dispatch_count;
}

// The tracker over a whole sequence: before[i] says whether a barrier comes before dispatch i.
// Returns their number.
//
// Shapes  before has dispatches.size() elements; scratch as for HazardTracker.
uint32_t derive_barriers(std::span<const DispatchAccesses> dispatches, std::span<Access> scratch,
                         std::span<bool> before);

// The oracle, by brute force over all pairs and sharing nothing with the tracker: true where every
// two conflicting dispatches have a barrier between them.
bool check_barriers(std::span<const DispatchAccesses> dispatches, std::span<const bool> before);

// True where no barrier can be left out on its own.
bool every_barrier_is_needed(std::span<const DispatchAccesses> dispatches,
                             std::span<const bool> before);

}  // namespace nbl
