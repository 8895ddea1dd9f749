#include "compiler/eval/int8_rows.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace nbl::compiler {
namespace {

constexpr double kLeast = -128;
constexpr double kMost = 127;
constexpr double kScaleOfNothing = static_cast<double>(0.1f);
constexpr double kSmallestScale = static_cast<double>(6.1e-5f);

void round_row(std::span<float> row) {
  const auto [least, most] = std::ranges::minmax(row);
  const float low = std::min(0.0f, least);
  const float high = std::max(0.0f, most);
  // Rounded to float32, as the device's scale is; all quotients are as good as exact.
  double scale =
      static_cast<double>(static_cast<float>(static_cast<double>(high - low) / (kMost - kLeast)));
  if (scale == 0) scale = kScaleOfNothing;
  const double from_low = static_cast<double>(-low) / scale;
  const double from_high = static_cast<double>(high) / scale;
  const bool by_low = -kLeast - from_low < kMost - from_high;
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
