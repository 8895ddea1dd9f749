#include "compiler/import/pt2/array_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/layout.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr int64_t kElements = int64_t{1} << 25;
constexpr int64_t kElementsPerByte = 8;
// Places and sources are numbered in 32 bits.
constexpr int64_t kMostElements = int64_t{1} << 31;

thread_local int64_t most = kElements;
thread_local int64_t held = 0;

}  // namespace

ArrayLimits::ArrayLimits(uint64_t constant_bytes) : before_(most) {
  const auto bytes = static_cast<int64_t>(std::min<uint64_t>(constant_bytes, kMostElements));
  most = std::min(kElements + kElementsPerByte * bytes, kMostElements);
}

ArrayLimits::~ArrayLimits() {
  most = before_;
}

int64_t most_elements() {
  return most;
}

HeldElements::~HeldElements() {
  held -= count_;
}

void HeldElements::hold(size_t count) {
  const auto more = static_cast<int64_t>(count);
  if (more > 2 * most - held) {
    throw NodeError(fmt::format("makes arrays of more than {} elements together", 2 * most));
  }
  held += more;
  count_ += more;
}

}  // namespace nbl::compiler::pt2
