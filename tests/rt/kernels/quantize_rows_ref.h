// What quantize_rows computes, straight from its rule (docs/kernels.md): quotients in float64,
// which holds the quotient of two floats closely enough to round it as if it were exact.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace nbl::test {

struct QuantizedRow {
  float scale = 0;
  int32_t zero = 0;
  std::vector<int8_t> values;
};

// Half to even, whatever the rounding mode.
inline double round_even(double value) {
  const double below = std::floor(value);
  const double rest = value - below;
  if (rest != 0.5) return rest < 0.5 ? below : below + 1;
  return std::fmod(below, 2) == 0 ? below : below + 1;
}

inline QuantizedRow quantize_row(std::span<const float> row) {
  QuantizedRow out;
  out.values.resize(row.size());
  float low = 0, high = 0;
  for (const float v : row) {
    if (!std::isfinite(v)) {
      out.scale = NAN;
      return out;
    }
    low = std::min(low, v);
    high = std::max(high, v);
  }
  // Halves, because high - low may be more than a float holds.
  const float half_range = 0.5f * high - 0.5f * low;
  double scale = static_cast<float>(2 * static_cast<double>(half_range) / 255);
  if (half_range < 0x1p-111f) scale = 0.1f;
  const double from_low = -low / scale, from_high = high / scale;
  const double zero = 128 - from_low < 127 - from_high ? -128 + from_low : 127 - from_high;
  out.zero = static_cast<int32_t>(std::clamp(round_even(zero), -128.0, 127.0));
  scale = std::max<double>(scale, 6.1e-5f);
  out.scale = static_cast<float>(scale);
  for (size_t i = 0; i < row.size(); ++i) {
    out.values[i] = static_cast<int8_t>(
        std::clamp(round_even(static_cast<double>(row[i]) / scale) + out.zero, -128.0, 127.0));
  }
  return out;
}

}  // namespace nbl::test
