#include "rt/mem/pool.h"

#include <bit>
#include <cstring>

#include "rt/base/checked.h"

namespace nbl {
namespace {

constexpr uint32_t kUnit = 16;
constexpr uint32_t kHeaderBytes = 8;
constexpr uint32_t kUsed = 1;
constexpr uint32_t kScopeShift = 1;
constexpr uint32_t kTagMask = kUnit - 1;

// Lists are numbered in the order of their sizes. Below 16 units there is one list a size, above
// there are 16 between a power of two and the next.
uint32_t list_of(uint32_t bytes) {
  const uint32_t units = bytes / kUnit;
  if (units < 16) return units;
  const uint32_t log2 = static_cast<uint32_t>(std::bit_width(units)) - 1;
  return (log2 - 3) * 16 + ((units >> (log2 - 4)) & 15);
}

// The first list whose blocks all have at least `bytes`.
uint32_t list_above(uint64_t bytes) {
  uint64_t units = bytes / kUnit;
  if (units < 16) return static_cast<uint32_t>(units);
  const uint32_t log2 = static_cast<uint32_t>(std::bit_width(units)) - 1;
  units += (uint64_t{1} << (log2 - 4)) - 1;
  return list_of(static_cast<uint32_t>(min_of(units * kUnit, uint64_t{0xfffffff0u})));
}

// Of the block for so much payload; the caller knows that bytes <= 0xfffffff0, so that it fits.
uint32_t block_size(size_t bytes) {
  const uint64_t size = align_up(uint64_t{bytes} + kHeaderBytes, uint64_t{kUnit});
  return static_cast<uint32_t>(min_of(size, uint64_t{0xfffffff0u}));
}

bool power_of_two(size_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

void count_more(PoolCounters* counters, uint32_t size) {
  counters->live_bytes += size;
  counters->peak_bytes = max_of(counters->peak_bytes, counters->live_bytes);
  ++counters->live_blocks;
  ++counters->allocations;
}

void count_less(PoolCounters* counters, uint32_t size) {
  counters->live_bytes -= size;
  --counters->live_blocks;
}

}  // namespace

// In front of every block, and once more behind the last one.
struct Pool::Header {
  uint32_t size_and_tag;   // bytes with the header; bit 0 = used, bits 1..3 = scope
  uint32_t previous_size;  // of the block before, 0 = this is the first

  uint32_t size() const { return size_and_tag & ~kTagMask; }
  bool used() const { return (size_and_tag & kUsed) != 0; }
  uint32_t scope() const { return (size_and_tag & kTagMask) >> kScopeShift; }
};

// In a free block's payload: its neighbours in the list, as offsets.
struct Pool::Links {
  uint32_t next;
  uint32_t previous;
};

// The critical sections are a few dozen instructions, so waiting is spinning.
class Pool::Lock {
 public:
  explicit Lock(uint32_t* word) : word_(word) {
    while (__atomic_exchange_n(word_, 1u, __ATOMIC_ACQUIRE) != 0) {
      while (__atomic_load_n(word_, __ATOMIC_RELAXED) != 0) {
      }
    }
  }
  ~Lock() { __atomic_store_n(word_, 0u, __ATOMIC_RELEASE); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  uint32_t* word_;
};

Pool::Header* Pool::header(uint32_t offset) const {
  return reinterpret_cast<Header*>(base_ + offset);
}

Pool::Links* Pool::links(uint32_t offset) const {
  return reinterpret_cast<Links*>(base_ + offset + kHeaderBytes);
}

uint32_t Pool::offset_of(const void* memory) const {
  return static_cast<uint32_t>(static_cast<const std::byte*>(memory) - base_) - kHeaderBytes;
}

void* Pool::payload(uint32_t offset) const {
  return base_ + offset + kHeaderBytes;
}

uint32_t Pool::bytes_to_align(uint32_t offset, size_t align) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(payload(offset));
  return static_cast<uint32_t>(-address & (align - 1));
}

void Pool::init(std::span<std::byte> block) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(block.data());
  const size_t skip = static_cast<size_t>((kHeaderBytes - address) & (kUnit - 1));
  base_ = nullptr;
  end_ = 0;
  level_map_ = 0;
  for (uint16_t& map : class_maps_)
    map = 0;
  for (uint32_t& head : heads_)
    head = kNone;
  stats_ = PoolStats();
  sealed_ = refuse_ = false;
  lock_ = 0;
  if (block.size() < skip + kUnit + kHeaderBytes) return;
  const uint64_t room = (block.size() - skip - kHeaderBytes) & ~uint64_t{kUnit - 1};
  base_ = block.data() + skip;
  end_ = static_cast<uint32_t>(min_of(room, uint64_t{0xfffffff0u}));
  stats_.capacity_bytes = end_;
  *header(0) = {end_, 0};
  *header(end_) = {kUsed, end_};
  insert_free(0);
}

void Pool::insert_free(uint32_t offset) {
  const uint32_t list = list_of(header(offset)->size());
  header(offset)->size_and_tag &= ~kTagMask;
  *links(offset) = {heads_[list], kNone};
  if (heads_[list] != kNone) links(heads_[list])->previous = offset;
  heads_[list] = offset;
  class_maps_[list / kClasses] |= static_cast<uint16_t>(1u << (list % kClasses));
  level_map_ |= 1u << (list / kClasses);
}

void Pool::remove_free(uint32_t offset) {
  const uint32_t list = list_of(header(offset)->size());
  const Links at = *links(offset);
  if (at.next != kNone) links(at.next)->previous = at.previous;
  if (at.previous != kNone) {
    links(at.previous)->next = at.next;
    return;
  }
  heads_[list] = at.next;
  if (at.next != kNone) return;
  uint16_t& map = class_maps_[list / kClasses];
  map = static_cast<uint16_t>(map & ~(1u << (list % kClasses)));
  if (map == 0) level_map_ &= ~(1u << (list / kClasses));
}

// The first list that is not empty and not before `list`.
uint32_t Pool::first_list_from(uint32_t list) const {
  uint32_t level = list / kClasses;
  if (level >= kLevels) return kNone;
  uint32_t classes = class_maps_[level] & (0xffffu << (list % kClasses));
  if (classes == 0) {
    const uint32_t levels = level_map_ & ~((2u << level) - 1);
    if (levels == 0) return kNone;
    level = static_cast<uint32_t>(std::countr_zero(levels));
    classes = class_maps_[level];
  }
  return level * kClasses + static_cast<uint32_t>(std::countr_zero(classes));
}

// A free block that holds `bytes` at the alignment, or kNone where there is none at all: when no
// list promises one by its size, those that might have one are searched.
uint32_t Pool::find(uint32_t bytes, size_t align) const {
  const uint32_t sure = list_above(uint64_t{bytes} + (align > kUnit ? align - kUnit : 0));
  const uint32_t list = first_list_from(sure);
  if (list != kNone && header(heads_[list])->size() >= uint64_t{bytes} + align - kUnit) {
    return heads_[list];
  }
  for (uint32_t maybe = first_list_from(list_of(bytes)); maybe != kNone;
       maybe = first_list_from(maybe + 1)) {
    for (uint32_t at = heads_[maybe]; at != kNone; at = links(at)->next) {
      if (header(at)->size() >= uint64_t{bytes} + bytes_to_align(at, align)) return at;
    }
  }
  return kNone;
}

// Makes two blocks of one: the first has `bytes`. The tag of the second is 0.
void Pool::cut(uint32_t offset, uint32_t bytes) {
  Header* first = header(offset);
  const uint32_t rest = first->size() - bytes;
  *header(offset + bytes) = {rest, bytes};
  header(offset + bytes + rest)->previous_size = rest;
  first->size_and_tag = bytes | (first->size_and_tag & kTagMask);
}

// Makes a block free and one with its free neighbours.
void Pool::release(uint32_t offset) {
  uint32_t size = header(offset)->size();
  if (!header(offset + size)->used()) {
    remove_free(offset + size);
    size += header(offset + size)->size();
  }
  const uint32_t previous_size = header(offset)->previous_size;
  if (previous_size != 0 && !header(offset - previous_size)->used()) {
    offset -= previous_size;
    remove_free(offset);
    size += previous_size;
  }
  header(offset)->size_and_tag = size;
  header(offset + size)->previous_size = size;
  insert_free(offset);
}

// A used block for `bytes` of payload, counted, or kNone.
uint32_t Pool::take(size_t bytes, size_t align, PoolScope scope) {
  const bool possible = power_of_two(align) && align <= kPoolMaxAlignBytes && bytes <= end_;
  const uint32_t need = possible ? block_size(bytes) : 0;
  uint32_t offset = possible ? find(need, max_of(align, size_t{kUnit})) : kNone;
  if (offset == kNone) {
    stats_.largest_failure_bytes = max_of(stats_.largest_failure_bytes, uint64_t{bytes});
    count_failure(scope);
    return kNone;
  }
  remove_free(offset);
  const uint32_t skip = bytes_to_align(offset, align);
  if (skip > 0) {
    cut(offset, skip);
    insert_free(offset);
    offset += skip;
  }
  if (header(offset)->size() > need) {
    cut(offset, need);
    insert_free(offset + need);
  }
  count_live(offset, scope);
  return offset;
}

void* Pool::allocate(size_t bytes, size_t align, PoolScope scope) {
  // Mesa allocates empty arrays and takes null for exhaustion.
  if (bytes == 0) bytes = 1;
  const Lock lock(&lock_);
  if (refused(scope)) return nullptr;
  const uint32_t offset = take(bytes, align, scope);
  return offset == kNone ? nullptr : payload(offset);
}

// Gives a used block another size where the room is there; its tag stays.
bool Pool::resize_in_place(uint32_t offset, uint32_t bytes) {
  Header* block = header(offset);
  const uint32_t next = offset + block->size();
  if (bytes > block->size()) {
    const uint64_t joined = uint64_t{block->size()} + header(next)->size();
    if (header(next)->used() || joined < bytes) return false;
    remove_free(next);
    block->size_and_tag += header(next)->size();
    header(offset + block->size())->previous_size = block->size();
  }
  if (block->size() > bytes) {
    cut(offset, bytes);
    release(offset + bytes);
  }
  return true;
}

void* Pool::reallocate(void* memory, size_t bytes, size_t align, PoolScope scope) {
  if (memory == nullptr) return allocate(bytes, align, scope);
  if (bytes == 0) {
    free(memory);
    return nullptr;
  }
  const Lock lock(&lock_);
  if (refused(scope)) return nullptr;
  const uint32_t offset = offset_of(memory);
  NBL_ASSERT(header(offset)->used());
  const uint32_t old_size = header(offset)->size();
  const uint32_t old_scope = header(offset)->scope();
  const bool stays = power_of_two(align) && bytes_to_align(offset, align) == 0 && bytes <= end_;
  if (stays && resize_in_place(offset, block_size(bytes))) {
    count_gone(old_size, old_scope);
    count_live(offset, scope);
    return memory;
  }
  const uint32_t moved = take(bytes, align, scope);
  if (moved == kNone) return nullptr;
  memcpy(payload(moved), memory, min_of(bytes, size_t{old_size - kHeaderBytes}));
  count_gone(old_size, old_scope);
  release(offset);
  return payload(moved);
}

void Pool::free(void* memory) {
  if (memory == nullptr) return;
  const Lock lock(&lock_);
  const uint32_t offset = offset_of(memory);
  NBL_ASSERT(header(offset)->used());
  count_gone(header(offset)->size(), header(offset)->scope());
  release(offset);
}

void Pool::mark_sealed(bool refuse) {
  const Lock lock(&lock_);
  sealed_ = true;
  refuse_ = refuse;
}

PoolStats Pool::stats() const {
  const Lock lock(&lock_);
  return stats_;
}

bool Pool::refused(PoolScope scope) {
  if (!sealed_) return false;
  ++stats_.sealed_requests;
  if (!refuse_) return false;
  ++stats_.sealed_refusals;
  count_failure(scope);
  return true;
}

void Pool::count_failure(PoolScope scope) {
  ++stats_.scopes[static_cast<uint32_t>(scope)].failures;
  ++stats_.all.failures;
}

// Marks the block as used and counts it.
void Pool::count_live(uint32_t offset, PoolScope scope) {
  const uint32_t index = static_cast<uint32_t>(scope);
  const uint32_t size = header(offset)->size();
  header(offset)->size_and_tag = size | (index << kScopeShift) | kUsed;
  count_more(&stats_.scopes[index], size);
  count_more(&stats_.all, size);
}

void Pool::count_gone(uint32_t size, uint32_t scope) {
  count_less(&stats_.scopes[scope], size);
  count_less(&stats_.all, size);
}

bool Pool::check() const {
  const Lock lock(&lock_);
  if (base_ == nullptr) return end_ == 0 && level_map_ == 0;
  uint64_t live_bytes[kPoolScopeCount] = {};
  uint64_t live_blocks[kPoolScopeCount] = {};
  uint64_t free_blocks = 0;
  uint32_t previous_size = 0;
  bool previous_free = false;
  uint32_t offset = 0;
  while (offset < end_) {
    const Header* block = header(offset);
    if (block->size() == 0 || block->size() > end_ - offset) return false;
    if (block->previous_size != previous_size) return false;
    if (!block->used() && (previous_free || block->scope() != 0)) return false;
    if (block->used() && block->scope() >= kPoolScopeCount) return false;
    live_bytes[block->scope()] += block->used() ? block->size() : 0;
    live_blocks[block->scope()] += block->used() ? 1 : 0;
    free_blocks += block->used() ? 0 : 1;
    previous_free = !block->used();
    previous_size = block->size();
    offset += block->size();
  }
  if (header(end_)->size_and_tag != kUsed || header(end_)->previous_size != previous_size) {
    return false;
  }
  uint64_t all_bytes = 0;
  for (uint32_t i = 0; i < kPoolScopeCount; ++i) {
    if (stats_.scopes[i].live_bytes != live_bytes[i]) return false;
    if (stats_.scopes[i].live_blocks != live_blocks[i]) return false;
    all_bytes += live_bytes[i];
  }
  return stats_.all.live_bytes == all_bytes && check_lists(free_blocks);
}

// Every free block hangs in the list of its size, and the bitmaps say which lists are not empty.
bool Pool::check_lists(uint64_t free_blocks) const {
  uint64_t found = 0;
  for (uint32_t list = 0; list < kLevels * kClasses; ++list) {
    const bool in_map = ((class_maps_[list / kClasses] >> (list % kClasses)) & 1) != 0;
    if (in_map != (heads_[list] != kNone)) return false;
    const bool in_level = ((level_map_ >> (list / kClasses)) & 1) != 0;
    if (in_level != (class_maps_[list / kClasses] != 0)) return false;
    uint32_t previous = kNone;
    for (uint32_t at = heads_[list]; at != kNone; at = links(at)->next) {
      if (at >= end_ || header(at)->used() || list_of(header(at)->size()) != list) return false;
      if (links(at)->previous != previous || ++found > free_blocks) return false;
      previous = at;
    }
  }
  return found == free_blocks;
}

}  // namespace nbl
