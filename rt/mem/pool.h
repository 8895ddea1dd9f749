// Pool: a bounded general-purpose allocator over one block, for the driver's host allocations.
//
// It has the semantics of VkAllocationCallbacks without naming Vulkan, counts what the driver does
// by scope, and notices requests that come after the runtime has sealed itself.
//
// Layout  Blocks lie end to end, each a multiple of 16 bytes: 8 bytes of header, then the payload
// at
//         a multiple of 16. A header holds its block's size and the size of the block before it, so
//         that a freed block finds both neighbours at once. Free blocks hang in lists segregated by
//         size, 16 classes to each power of two, with bitmaps over them.
// Source  Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for real-time
//         systems", ECRTS 2004.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nbl {

// In the order of VkSystemAllocationScope, so that the value can be cast.
enum class PoolScope : uint8_t { command, object, cache, device, instance };
inline constexpr uint32_t kPoolScopeCount = 5;
inline constexpr size_t kPoolMaxAlignBytes = 4096;

// Units  bytes are those a block takes from the pool: header and rounding included.
struct PoolCounters {
  uint64_t live_bytes = 0;
  uint64_t peak_bytes = 0;
  uint64_t live_blocks = 0;
  uint64_t allocations = 0;  // requests that got memory: allocate and every reallocate
  uint64_t failures = 0;     // requests that did not, refused ones included
};

struct PoolStats {
  PoolCounters scopes[kPoolScopeCount];
  PoolCounters all;                    // its peak_bytes is the high-water mark of the whole pool
  uint64_t capacity_bytes = 0;         // what blocks can take
  uint64_t largest_failure_bytes = 0;  // the largest request that did not fit
  uint64_t sealed_requests = 0;        // after mark_sealed(), granted or not
  uint64_t sealed_refusals = 0;
};

// Safe to call from several threads at once, but for init().
//
// Borrows  the block given to init(), for as long as anything allocated from it is in use.
class Pool {
 public:
  // Starts over with an empty pool in `block`. What lies past 4 GiB is not used. Bytes in the block
  // need no particular value; a block too small for anything makes a pool that is always full.
  void init(std::span<std::byte> block);

  // Memory for `bytes` at a multiple of `align`, or null where there is no room, where `align` is
  // no power of two up to kPoolMaxAlignBytes, or where the pool is sealed and refuses. 0 bytes
  // count as 1: some drivers allocate empty arrays and take null for exhaustion.
  void* allocate(size_t bytes, size_t align, PoolScope scope);

  // Moves or resizes `memory` and keeps what both sizes have in common. A null `memory` allocates,
  // 0 bytes free. On failure (null) the old memory stays as it was.
  void* reallocate(void* memory, size_t bytes, size_t align, PoolScope scope);

  // Null is allowed.
  void free(void* memory);

  // From here on requests for memory are counted separately and, with `refuse`, get none.
  void mark_sealed(bool refuse);

  PoolStats stats() const;

  // Walks all blocks and lists and returns whether every invariant holds. For tests.
  bool check() const;

 private:
  static constexpr uint32_t kLevels = 25;  // powers of two: 16-byte units up to 2^28
  static constexpr uint32_t kClasses = 16;
  static constexpr uint32_t kNone = 0xffffffffu;

  struct Header;
  struct Links;
  class Lock;

  Header* header(uint32_t offset) const;
  Links* links(uint32_t offset) const;
  uint32_t offset_of(const void* memory) const;
  void* payload(uint32_t offset) const;
  uint32_t bytes_to_align(uint32_t offset, size_t align) const;

  void insert_free(uint32_t offset);
  void remove_free(uint32_t offset);
  uint32_t first_list_from(uint32_t list) const;
  uint32_t find(uint32_t bytes, size_t align) const;
  void cut(uint32_t offset, uint32_t bytes);
  void release(uint32_t offset);
  uint32_t take(size_t bytes, size_t align, PoolScope scope);
  bool resize_in_place(uint32_t offset, uint32_t bytes);

  bool refused(PoolScope scope);
  void count_failure(PoolScope scope);
  void count_live(uint32_t offset, PoolScope scope);
  void count_gone(uint32_t size, uint32_t scope);
  bool check_lists(uint64_t free_blocks) const;

  std::byte* base_ = nullptr;  // 8 below a multiple of 16
  uint32_t end_ = 0;           // offset of the closing header
  uint32_t level_map_ = 0;
  uint16_t class_maps_[kLevels] = {};
  uint32_t heads_[kLevels * kClasses] = {};
  PoolStats stats_;
  bool sealed_ = false;
  bool refuse_ = false;
  mutable uint32_t lock_ = 0;
};

}  // namespace nbl
