#include "rt/mem/hazards.h"

#include "rt/base/checked.h"

namespace nbl {
namespace {

bool touches(const Access& access) {
  return access.begin < access.end && (access.read || access.write);
}

bool conflict(const Access& a, const Access& b) {
  return (a.write || b.write) && a.block == b.block && a.begin < b.end && b.begin < a.end &&
         touches(a) && touches(b);
}

}  // namespace

bool HazardTracker::conflicts(std::span<const Access> accesses) const {
  for (const Access& access : accesses) {
    for (const Access& before : pending_.first(count_)) {
      if (conflict(access, before)) return true;
    }
  }
  return false;
}

// False where there is no room. Accesses of the same kind that overlap or touch become one: their
// union conflicts with exactly what either of them conflicts with.
bool HazardTracker::add(const Access& access) {
  if (!touches(access)) return true;
  for (Access& before : pending_.first(count_)) {
    const bool joined = before.block == access.block && before.write == access.write &&
                        before.begin <= access.end && access.begin <= before.end;
    if (!joined) continue;
    before.begin = min_of(before.begin, access.begin);
    before.end = max_of(before.end, access.end);
    before.read = before.read || access.read;
    return true;
  }
  if (count_ == pending_.size()) return false;
  pending_[count_++] = access;
  return true;
}

bool HazardTracker::next(std::span<const Access> accesses) {
  NBL_ASSERT(pending_.size() >= accesses.size());
  bool needed = conflicts(accesses);
  if (needed) count_ = 0;
  const size_t count_before = count_;
  bool fits = true;
  for (const Access& access : accesses)
    fits = add(access) && fits;
  if (fits || count_before == 0) return needed;
  count_ = 0;
  for (const Access& access : accesses)
    fits = add(access);
  return true;
}

uint32_t derive_barriers(std::span<const DispatchAccesses> dispatches, std::span<Access> scratch,
                         std::span<bool> before) {
  NBL_ASSERT(before.size() >= dispatches.size());
  HazardTracker tracker(scratch);
  uint32_t barriers = 0;
  for (size_t i = 0; i < dispatches.size(); ++i) {
    before[i] = tracker.next({dispatches[i].accesses, dispatches[i].count});
    barriers += before[i] ? 1 : 0;
  }
  return barriers;
}

namespace {

bool share_a_byte(const Access& a, const Access& b) {
  const uint64_t begin = max_of(a.begin, b.begin);
  const uint64_t end = min_of(a.end, b.end);
  return a.block == b.block && begin < end;
}

bool order_matters(const DispatchAccesses& first, const DispatchAccesses& second) {
  for (uint32_t i = 0; i < first.count; ++i) {
    for (uint32_t j = 0; j < second.count; ++j) {
      const Access& a = first.accesses[i];
      const Access& b = second.accesses[j];
      const bool read_after_write = a.write && b.read;
      const bool write_after_read = a.read && b.write;
      const bool write_after_write = a.write && b.write;
      if (!read_after_write && !write_after_read && !write_after_write) continue;
      if (share_a_byte(a, b)) return true;
    }
  }
  return false;
}

// As check_barriers() with the barrier before dispatch `without` left out.
bool ordered(std::span<const DispatchAccesses> dispatches, std::span<const bool> before,
             size_t without) {
  for (size_t j = 1; j < dispatches.size(); ++j) {
    // Walks back from j; pairs beyond the nearest barrier are ordered by it.
    for (size_t i = j; i > 0; --i) {
      if (before[i] && i != without) break;
      if (order_matters(dispatches[i - 1], dispatches[j])) return false;
    }
  }
  return true;
}

}  // namespace

bool check_barriers(std::span<const DispatchAccesses> dispatches, std::span<const bool> before) {
  return before.size() >= dispatches.size() && ordered(dispatches, before, dispatches.size());
}

bool every_barrier_is_needed(std::span<const DispatchAccesses> dispatches,
                             std::span<const bool> before) {
  for (size_t i = 0; i < dispatches.size(); ++i) {
    if (before[i] && ordered(dispatches, before, i)) return false;
  }
  return true;
}

}  // namespace nbl
