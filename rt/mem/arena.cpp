#include "rt/mem/arena.h"

#include "rt/base/checked.h"

namespace nbl {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

uint64_t saturating_sum(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kMost : sum;
}

}  // namespace

Status Arena::take(uint64_t bytes, size_t align, std::span<std::byte>* out, Error* error,
                   std::string_view what) {
  NBL_ASSERT(!sealed_ && align != 0 && (align & (align - 1)) == 0);
  const uintptr_t address = reinterpret_cast<uintptr_t>(block_.data()) + front_;
  const size_t padding = static_cast<size_t>(-address & (align - 1));
  const uint64_t need = saturating_sum(bytes, padding);
  if (need > capacity() - used()) {
    return fail(error, Code::arena_full, 0, what, saturating_sum(used(), need), capacity());
  }
  *out = block_.subspan(front_ + padding, in_memory(bytes));
  front_ += in_memory(need);
  peak_ = max_of(peak_, used());
  return Status();
}

Status Arena::take_setup(uint64_t bytes, size_t align, std::span<std::byte>* out, Error* error,
                         std::string_view what) {
  NBL_ASSERT(!sealed_ && align != 0 && (align & (align - 1)) == 0);
  // Padding lies behind the slice: its start is rounded down.
  const uintptr_t end = reinterpret_cast<uintptr_t>(block_.data()) + (capacity() - back_);
  const size_t padding = static_cast<size_t>((end - bytes) & (align - 1));
  const uint64_t need = saturating_sum(bytes, padding);
  if (need > capacity() - used()) {
    return fail(error, Code::arena_full, 0, what, saturating_sum(used(), need), capacity());
  }
  back_ += in_memory(need);
  *out = block_.subspan(capacity() - back_, in_memory(bytes));
  peak_ = max_of(peak_, used());
  return Status();
}

void Arena::seal() {
  back_ = 0;
  sealed_ = true;
}

}  // namespace nbl
