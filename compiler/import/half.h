// f16 (IEEE 754 binary16) and bf16 as bit patterns.
#pragma once

#include <bit>
#include <cstdint>

namespace nbl::compiler {

// Exact for every pattern, subnormals, infinities and NaN included.
inline float f16_to_f32(uint16_t half) {
  // The exponent moves into place by a multiplication with 2^(127-15), which also normalises
  // subnormals; an all-ones exponent ends up short of 255 and is set.
  const uint32_t magnitude = (half & 0x7fffu) << 13;
  uint32_t bits = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  if (magnitude >= 0x0f800000u) bits |= 0x7f800000u;
  return std::bit_cast<float>(bits | (half & 0x8000u) << 16);
}

inline float bf16_to_f32(uint16_t value) {
  return std::bit_cast<float>(uint32_t{value} << 16);
}

// Rounds to nearest, ties to even. Past 65504 by half a step or more: infinity. NaN stays NaN.
inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520
  if (magnitude < 0x38800000u) {  // below 2^-14: steps of 2^-24, rounded by adding 2^23 of them
    const float steps = std::bit_cast<float>(magnitude) * 0x1p24f + 0x1p23f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(steps) & 0x7fffu));
  }
  const uint32_t odd = magnitude >> 13 & 1u;
  const uint32_t rounded = magnitude + 0xfffu + odd;
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

inline bool f16_is_finite(uint16_t half) {
  return (half & 0x7c00u) != 0x7c00u;
}

}  // namespace nbl::compiler
