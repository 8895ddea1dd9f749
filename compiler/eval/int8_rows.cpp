#include "compiler/eval/int8_rows.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace nbl::compiler {
namespace {

constexpr double kLeast = -128;
constexpr double kMost = 127;
constexpr double kScaleOfNothing = 0.1;
constexpr double kSmallestScale = 6.1e-5;

void round_row(std::span<float> row) {
  const auto [least, most] = std::ranges::minmax(row);
  const double low = std::min(0.0, static_cast<double>(least));
  const double high = std::max(0.0, static_cast<double>(most));
  double scale = (high - low) / (kMost - kLeast);
  if (scale == 0) scale = kScaleOfNothing;
  const double from_low = -low / scale;
  const double from_high = high / scale;
  const bool by_low = std::abs(kLeast) - from_low < kMost - from_high;
  const double zero =
      std::clamp(std::nearbyint(by_low ? kLeast + from_low : kMost - from_high), kLeast, kMost);
  scale = std::max(scale, kSmallestScale);
  for (float& v : row) {
    const double q =
        std::clamp(std::nearbyint(static_cast<double>(v) / scale) + zero, kLeast, kMost);
    v = static_cast<float>(scale * (q - zero));
  }
}

}  // namespace

void round_rows_to_int8(std::vector<float>* x, size_t columns) {
  for (size_t at = 0; at + columns <= x->size(); at += columns)
    round_row(std::span(*x).subspan(at, columns));
}

}  // namespace nbl::compiler
