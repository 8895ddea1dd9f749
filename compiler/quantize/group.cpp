#include <cmath>
#include <cstring>
#include <span>

#include "compiler/import/half.h"
#include "compiler/quantize/q4.h"

namespace nbl::compiler {
namespace {

// Four lanes by the compilers' vector extension: plain SSE2 or NEON, the same sums on every host.
using Lanes = float __attribute__((vector_size(16)));

Lanes load(const float* values) {
  Lanes lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}

float sum(Lanes lanes) {
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

// The values that a code can be, and what to try for the weight of the largest magnitude.
struct Range {
  float low;
  float high;
  std::span<const float> targets;
};

// weights / scale, clamped to the range and rounded to nearest even: adding 1.5 * 2^23 leaves no
// fraction bits.
Lanes round_to(const Range& range, Lanes weights, float inverse) {
  const Lanes low = {range.low, range.low, range.low, range.low};
  const Lanes high = {range.high, range.high, range.high, range.high};
  constexpr float kRounder = 0x1.8p23f;
  Lanes value = weights * inverse;
  value = value < low ? low : value;
  value = value > high ? high : value;
  return (value + kRounder) - kRounder;
}

struct Weights {
  const float* values;
  const float* importance;  // null: all alike
  uint32_t count;
};

// Of four weights.
template <bool kWeighted>
Lanes importance_of(const Weights& weights, uint32_t at) {
  if constexpr (kWeighted) return load(weights.importance + at);
  return Lanes{1, 1, 1, 1};
}

// The scale that fits the weights best with the rounding that `scale` gives.
template <bool kWeighted>
float least_squares_scale(const Range& range, const Weights& weights, float scale) {
  Lanes products = {};
  Lanes squares = {};
  for (uint32_t i = 0; i < weights.count; i += 4) {
    const Lanes weight = load(weights.values + i);
    const Lanes value = round_to(range, weight, 1.0f / scale);
    const Lanes factor = importance_of<kWeighted>(weights, i);
    products += weight * value * factor;
    squares += value * value * factor;
  }
  const float square_sum = sum(squares);
  return square_sum > 0 ? sum(products) / square_sum : 0.0f;
}

template <bool kWeighted>
float squared_error(const Range& range, const Weights& weights, float scale) {
  Lanes errors = {};
  for (uint32_t i = 0; i < weights.count; i += 4) {
    const Lanes weight = load(weights.values + i);
    const Lanes difference = weight - round_to(range, weight, 1.0f / scale) * scale;
    errors += difference * difference * importance_of<kWeighted>(weights, i);
  }
  return sum(errors);
}

struct Best {
  uint16_t scale = 0;
  float error = INFINITY;
};

template <bool kWeighted>
void consider(const Range& range, const Weights& weights, float scale, Best* best) {
  const uint16_t half = f32_to_f16(scale);
  const float rounded = f16_to_f32(half);
  if (rounded == 0 || !std::isfinite(rounded)) return;
  const float error = squared_error<kWeighted>(range, weights, rounded);
  if (error < best->error) *best = {half, error};
}

// Where the weight of the largest magnitude may land. Beyond -8 and 7 it is clipped, which pays in
// large groups. Measured on normal and Laplace weights in groups of 32 to 256: the error is within
// 0.4 % of that of targets in steps of 0.1 from -12 to 10; the target -8 alone costs 5 to 11 %.
constexpr float kTargets[] = {-11.0f, -10.0f, -9.2f, -8.6f, -8.2f, -7.8f, -7.4f,
                              -7.0f,  9.6f,   8.6f,  7.8f,  7.2f,  6.6f};

// At 8 bits nothing is worth clipping, and only the rounding of the scale is to choose.
constexpr float kTargets8[] = {-128.0f, -127.5f, -127.0f, -126.5f, 127.5f, 127.0f, 126.5f};

constexpr Range kRange4 = {-8, 7, kTargets};
constexpr Range kRange8 = {-128, 127, kTargets8};

template <bool kWeighted>
Best find_scale(const Range& range, const Weights& weights, Quantizer quantizer) {
  float extreme = 0;
  for (uint32_t i = 0; i < weights.count; ++i) {
    if (std::fabs(weights.values[i]) > std::fabs(extreme)) extreme = weights.values[i];
  }
  Best best;
  if (extreme == 0) return best;
  consider<kWeighted>(range, weights, extreme / range.low, &best);
  if (quantizer == Quantizer::rtn) return best;
  for (const float target : range.targets) {
    const float start = extreme / target;
    if (std::fabs(start) < 0x1p-25f) continue;  // rounds to an f16 of zero
    consider<kWeighted>(range, weights, least_squares_scale<kWeighted>(range, weights, start),
                        &best);
  }
  return best;
}

}  // namespace

uint16_t quantize_group(const float* values, uint32_t count, uint8_t* codes,
                        const GroupOptions& how) {
  const Range& range = how.eight_bits ? kRange8 : kRange4;
  const Weights weights{values, how.importance, count};
  const Best best = how.importance == nullptr ? find_scale<false>(range, weights, how.quantizer)
                                              : find_scale<true>(range, weights, how.quantizer);
  const float zero = -range.low;
  if (best.scale == 0) {  // nothing but zeros, or below what an f16 scale can tell from them
    std::memset(codes, static_cast<int>(zero), count);
    return 0;
  }
  const float inverse = 1.0f / f16_to_f32(best.scale);
  for (uint32_t i = 0; i < count; i += 4) {
    const Lanes value = round_to(range, load(values + i), inverse) + zero;
    for (uint32_t lane = 0; lane < 4; ++lane)
      codes[i + lane] = static_cast<uint8_t>(value[lane]);
  }
  return best.scale;
}

}  // namespace nbl::compiler
