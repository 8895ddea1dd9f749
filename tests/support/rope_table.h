// The RoPE angle table and a float64 rotation that does not use it.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "rt/kernels/rope.h"

namespace nbl::test {

inline double rope_frequency(uint32_t pair, uint32_t rotary_dim, double theta) {
  return std::pow(theta, -2.0 * pair / rotary_dim);
}

// f32 [rope_table_rows(context)][rotary_dim], as the model file holds it.
inline std::vector<float> rope_table(uint32_t context, uint32_t rotary_dim, double theta) {
  std::vector<float> table;
  for (uint32_t row = 0; row < rope_table_rows(context); ++row) {
    const double position = row < 64 ? row : 64.0 * (row - 64);
    for (uint32_t i = 0; i < rotary_dim / 2; ++i) {
      const double angle = position * rope_frequency(i, rotary_dim, theta);
      table.push_back(static_cast<float>(std::cos(angle)));
      table.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return table;
}

// Rotates one head in place.
inline void rotate_head(double* head, uint32_t rotary_dim, bool half, uint32_t position,
                        double theta) {
  for (uint32_t i = 0; i < rotary_dim / 2; ++i) {
    const double angle = position * rope_frequency(i, rotary_dim, theta);
    double& a = head[half ? i : 2 * i];
    double& b = head[half ? i + rotary_dim / 2 : 2 * i + 1];
    const double rotated = a * std::cos(angle) - b * std::sin(angle);
    b = b * std::cos(angle) + a * std::sin(angle);
    a = rotated;
  }
}

}  // namespace nbl::test
