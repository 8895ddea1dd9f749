#include "rt/base/ticks.h"

#include <bit>

namespace nbl {
namespace {

constexpr uint64_t kMost = ~uint64_t{0};
constexpr uint32_t kMantissaBits = 23;
constexpr int kExponentBias = 127 + 23;  // of the mantissa as an integer

}  // namespace

uint64_t ticks_to_ns(uint64_t ticks, float period_ns) {
  // period = mantissa * 2^exponent, and ticks * mantissa takes 88 bits: two words.
  const uint32_t bits = std::bit_cast<uint32_t>(period_ns);
  const uint32_t biased = (bits >> kMantissaBits) & 0xffu;
  const uint64_t fraction = bits & ((1u << kMantissaBits) - 1);
  const uint64_t mantissa = biased == 0 ? fraction : fraction | (1u << kMantissaBits);
  const int exponent = (biased == 0 ? 1 : static_cast<int>(biased)) - kExponentBias;

  const uint64_t upper = (ticks >> 32) * mantissa;
  const uint64_t lower = (ticks & 0xffffffffu) * mantissa;
  const uint64_t low = (upper << 32) + lower;
  const uint64_t high = (upper >> 32) + (low < lower ? 1 : 0);
  if (exponent >= 0) {
    if (low == 0 && high == 0) return 0;
    const bool fits = high == 0 && exponent < 64 && low <= kMost >> exponent;
    return fits ? low << exponent : kMost;
  }
  const uint32_t shift = static_cast<uint32_t>(-exponent);
  if (shift >= 128) return 0;
  if (shift >= 64) return high >> (shift - 64);
  if (high >> shift != 0) return kMost;
  return high << (64 - shift) | low >> shift;
}

TickTimeline::TickTimeline(uint32_t valid_bits, uint64_t origin)
    : mask_(valid_bits >= 64 ? kMost : (uint64_t{1} << valid_bits) - 1),
      half_(mask_ == 0 ? 0 : (mask_ >> 1) + 1),
      latest_(origin) {}

void TickTimeline::advance(uint64_t stamp) {
  const uint64_t ahead = (stamp - latest_) & mask_;
  if (ahead >= half_) return;
  latest_ = stamp;
  elapsed_ += ahead;
}

TickSpan TickTimeline::next(uint64_t begin, uint64_t end) {
  advance(begin);
  const uint64_t start = elapsed_;
  advance(end);
  return {start, elapsed_};
}

}  // namespace nbl
