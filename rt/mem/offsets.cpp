#include "rt/mem/offsets.h"

#include <limits>

#include "rt/base/checked.h"

namespace nbl {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
// Above this an offset plus a size could overflow.
constexpr uint64_t kMaxTotalBytes = kMost / 2;
// Rounds of taking what ends highest and placing it first, for each order and fit: as many as keep
// the time of large inputs near that of one round. 100 rounds leave no decoder of 30,000 random
// ones more than 2 % above the lower bound; 24 leave one.
constexpr size_t kMostRepairRounds = 256;
constexpr size_t kRepairWork = 16384;

bool live_together(const Interval& a, const Interval& b) {
  return a.first_use <= b.last_use && b.first_use <= a.last_use;
}

// One run of the planner: what is placed when, and where.
struct Work {
  std::span<const Interval> intervals;
  uint64_t align;
  uint64_t* keys;       // of the order being tried, larger first
  uint64_t* offsets;    // of the placement being tried
  uint32_t* order;      // indices, first placed first
  uint32_t* placed;     // indices by rising offset
  uint64_t best_total;  // of what `out` holds
  uint64_t* out;

  uint64_t size(uint32_t i) const { return align_up(intervals[i].bytes, align); }
};

enum class Order : uint32_t { size, breadth, area, lifetime, start, end };
constexpr Order kOrders[] = {Order::size,     Order::breadth, Order::area,
                             Order::lifetime, Order::start,   Order::end};
enum class Fit : uint32_t { tightest, lowest };
constexpr Fit kFits[] = {Fit::tightest, Fit::lowest};

uint64_t live_bytes_at(const Work& work, uint32_t time) {
  uint64_t bytes = 0;
  for (const Interval& interval : work.intervals) {
    if (interval.first_use <= time && time <= interval.last_use) {
      bytes += align_up(interval.bytes, work.align);
    }
  }
  return bytes;
}

// The largest number of bytes live at some time of the interval. Such a time is the start of it or
// of another one within it.
uint64_t breadth(const Work& work, const Interval& of) {
  uint64_t most = live_bytes_at(work, of.first_use);
  // While breadths are computed, offsets[] holds live_bytes_at() each interval's start.
  for (size_t i = 0; i < work.intervals.size(); ++i) {
    const uint32_t time = work.intervals[i].first_use;
    if (of.first_use <= time && time <= of.last_use) most = max_of(most, work.offsets[i]);
  }
  return most;
}

uint64_t key_of(const Work& work, Order by, uint32_t i) {
  const Interval& interval = work.intervals[i];
  const uint64_t lifetime = uint64_t{interval.last_use} - interval.first_use + 1;
  uint64_t area = 0;
  switch (by) {
    case Order::size:
      return work.size(i);
    case Order::breadth:
      return breadth(work, interval);
    case Order::area:
      return checked_mul(work.size(i), lifetime, &area) ? area : kMost;
    case Order::lifetime:
      return lifetime;
    case Order::start:
      return kMost - interval.first_use;
    case Order::end:
      return interval.last_use;
  }
  return 0;
}

// Whether a is placed before b: a total order, so that the result is the same everywhere.
bool before(const Work& work, uint32_t a, uint32_t b) {
  if (work.keys[a] != work.keys[b]) return work.keys[a] > work.keys[b];
  if (work.intervals[a].bytes != work.intervals[b].bytes) {
    return work.intervals[a].bytes > work.intervals[b].bytes;
  }
  if (work.intervals[a].first_use != work.intervals[b].first_use) {
    return work.intervals[a].first_use < work.intervals[b].first_use;
  }
  return a < b;
}

void sift_down(const Work& work, size_t root, size_t count) {
  uint32_t* heap = work.order;
  for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
    if (child + 1 < count && before(work, heap[child], heap[child + 1])) ++child;
    if (!before(work, heap[root], heap[child])) return;
    const uint32_t other = heap[root];
    heap[root] = heap[child];
    heap[child] = other;
    root = child;
  }
}

// Heapsort: no recursion, no memory.
void sort_order(const Work& work) {
  const size_t count = work.intervals.size();
  for (uint32_t i = 0; i < count; ++i)
    work.order[i] = i;
  for (size_t root = count / 2; root > 0; --root)
    sift_down(work, root - 1, count);
  for (size_t last = count; last > 1; --last) {
    const uint32_t top = work.order[0];
    work.order[0] = work.order[last - 1];
    work.order[last - 1] = top;
    sift_down(work, 0, last - 1);
  }
}

// The place for interval i among those placed: the tightest gap that holds it, or the lowest; else
// above everything that lives with it.
uint64_t place(const Work& work, size_t placed_count, uint32_t i, Fit fit) {
  const uint64_t size = work.size(i);
  uint64_t free_from = 0;
  uint64_t best = 0;
  uint64_t best_gap = kMost;
  for (size_t p = 0; p < placed_count; ++p) {
    const uint32_t other = work.placed[p];
    if (!live_together(work.intervals[i], work.intervals[other])) continue;
    const uint64_t start = work.offsets[other];
    if (start >= free_from && start - free_from >= size && start - free_from < best_gap) {
      best = free_from;
      best_gap = start - free_from;
      if (fit == Fit::lowest) return best;
    }
    free_from = max_of(free_from, start + work.size(other));
  }
  return best_gap == kMost ? free_from : best;
}

// Keeps placed[] in the order of offsets.
void insert_placed(const Work& work, size_t placed_count, uint32_t i) {
  size_t slot = placed_count;
  while (slot > 0 && work.offsets[work.placed[slot - 1]] > work.offsets[i]) {
    work.placed[slot] = work.placed[slot - 1];
    --slot;
  }
  work.placed[slot] = i;
}

// Places everything in work.order, or stops where that cannot be better than the best so far.
// Returns the position in the order of what ended highest.
size_t place_all(Work* work, Fit fit) {
  uint64_t total = 0;
  size_t highest = 0;
  size_t placed_count = 0;
  for (size_t n = 0; n < work->intervals.size(); ++n) {
    const uint32_t i = work->order[n];
    work->offsets[i] = 0;
    if (work->intervals[i].bytes == 0) continue;
    work->offsets[i] = place(*work, placed_count, i, fit);
    insert_placed(*work, placed_count++, i);
    const uint64_t end = work->offsets[i] + work->size(i);
    if (end <= total) continue;
    total = end;
    highest = n;
    if (total >= work->best_total) return highest;
  }
  work->best_total = total;
  for (size_t i = 0; i < work->intervals.size(); ++i)
    work->out[i] = work->offsets[i];
  return highest;
}

void move_to_front(const Work& work, size_t position) {
  const uint32_t moved = work.order[position];
  for (size_t n = position; n > 0; --n)
    work.order[n] = work.order[n - 1];
  work.order[0] = moved;
}

void try_order(Work* work, Order by, uint64_t lower_bound) {
  const size_t count = work->intervals.size();
  if (by == Order::breadth) {
    for (size_t i = 0; i < count; ++i) {
      work->offsets[i] = live_bytes_at(*work, work->intervals[i].first_use);
    }
  }
  for (uint32_t i = 0; i < count; ++i)
    work->keys[i] = key_of(*work, by, i);
  const size_t rounds = max_of(size_t{1}, min_of(kMostRepairRounds, kRepairWork / (count + 1)));
  for (const Fit fit : kFits) {
    sort_order(*work);
    for (size_t round = 0; round < rounds && work->best_total > lower_bound; ++round) {
      const size_t highest = place_all(work, fit);
      if (highest == 0) break;
      move_to_front(*work, highest);
    }
  }
}

}  // namespace

Status plan_offsets(std::span<const Interval> intervals, uint64_t align_bytes,
                    std::span<std::byte> scratch, std::span<uint64_t> offsets,
                    uint64_t* total_bytes, Error* error) {
  const size_t count = intervals.size();
  NBL_ASSERT(align_bytes != 0 && (align_bytes & (align_bytes - 1)) == 0);
  NBL_ASSERT(scratch.size() >= offsets_scratch_bytes(count) && offsets.size() >= count);
  NBL_ASSERT(reinterpret_cast<uintptr_t>(scratch.data()) % alignof(uint64_t) == 0);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; ++i) {
    NBL_ASSERT(intervals[i].first_use <= intervals[i].last_use);
    const bool counted = checked_add(sum, intervals[i].bytes, &sum) &&
                         checked_add(sum, align_bytes, &sum) && sum <= kMaxTotalBytes;
    if (!counted) {
      return fail(error, Code::device_limit, i, "activation memory", kMost, kMaxTotalBytes);
    }
  }
  Work work{};
  work.intervals = intervals;
  work.align = align_bytes;
  work.keys = reinterpret_cast<uint64_t*>(scratch.data());
  work.offsets = work.keys + count;
  work.order = reinterpret_cast<uint32_t*>(work.offsets + count);
  work.placed = work.order + count;
  work.out = offsets.data();
  work.best_total = kMost;
  const uint64_t lower_bound = lower_bound_bytes(intervals, align_bytes);
  for (const Order by : kOrders) {
    if (work.best_total > lower_bound) try_order(&work, by, lower_bound);
  }
  *total_bytes = count == 0 ? 0 : work.best_total;
  return Status();
}

uint64_t lower_bound_bytes(std::span<const Interval> intervals, uint64_t align_bytes) {
  // The live set only grows where an interval starts.
  uint64_t most = 0;
  for (const Interval& start : intervals) {
    uint64_t live = 0;
    for (const Interval& other : intervals) {
      if (other.first_use <= start.first_use && start.first_use <= other.last_use) {
        live += align_up(other.bytes, align_bytes);
      }
    }
    most = max_of(most, live);
  }
  return most;
}

bool check_offsets(std::span<const Interval> intervals, uint64_t align_bytes,
                   std::span<const uint64_t> offsets, uint64_t total_bytes) {
  if (offsets.size() < intervals.size() || total_bytes % align_bytes != 0) return false;
  for (size_t i = 0; i < intervals.size(); ++i) {
    const uint64_t begin = offsets[i];
    const uint64_t bytes = intervals[i].bytes;
    if (begin % align_bytes != 0 || begin > total_bytes || bytes > total_bytes - begin)
      return false;
    for (size_t j = 0; j < i; ++j) {
      const bool apart_in_time = intervals[i].last_use < intervals[j].first_use ||
                                 intervals[j].last_use < intervals[i].first_use;
      const bool apart_in_space =
          begin >= offsets[j] + intervals[j].bytes || offsets[j] >= begin + bytes;
      if (!apart_in_time && !apart_in_space) return false;
    }
  }
  return true;
}

}  // namespace nbl
