#include "rt/mem/arena.h"

#include "rt/base/checked.h"

namespace nbl {
namespace {

constexpr size_t kMost = std::numeric_limits<size_t>::max();

size_t saturating_sum(size_t a, size_t b) {
  size_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kMost : sum;
}

}  // namespace

Status Arena::take(size_t bytes, size_t align, std::span<std::byte>* out, Error* error,
                   std::string_view what) {
  NBL_ASSERT(!sealed_ && align != 0 && (align & (align - 1)) == 0);
  const uintptr_t address = reinterpret_cast<uintptr_t>(block_.data()) + front_;
  const size_t padding = static_cast<size_t>(-address & (align - 1));
  const size_t need = saturating_sum(bytes, padding);
  if (need > capacity() - used()) {
    return fail(error, Code::arena_full, 0, what, saturating_sum(used(), need), capacity());
  }
  *out = block_.subspan(front_ + padding, bytes);
  front_ += need;
  peak_ = max_of(peak_, used());
  return Status();
}

Status Arena::take_setup(size_t bytes, size_t align, std::span<std::byte>* out, Error* error,
                         std::string_view what) {
  NBL_ASSERT(!sealed_ && align != 0 && (align & (align - 1)) == 0);
  // Padding lies behind the slice: its start is rounded down.
  const uintptr_t end = reinterpret_cast<uintptr_t>(block_.data()) + (capacity() - back_);
  const size_t padding = static_cast<size_t>((end - bytes) & (align - 1));
  const size_t need = saturating_sum(bytes, padding);
  if (need > capacity() - used()) {
    return fail(error, Code::arena_full, 0, what, saturating_sum(used(), need), capacity());
  }
  back_ += need;
  *out = block_.subspan(capacity() - back_, bytes);
  peak_ = max_of(peak_, used());
  return Status();
}

void Arena::seal() {
  back_ = 0;
  sealed_ = true;
}

}  // namespace nbl
