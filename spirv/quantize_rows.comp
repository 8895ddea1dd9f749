#version 450
// xq[t][k] = clamp(round(y[t][k] / scale[t]) + zero[t], -128, 127), y = x or, with QUANTIZE_NORM,
//   x / sqrt(mean(x^2) + eps) * weight
//   low = min(y, 0), high = max(y, 0) over the row; scale = (high - low) / 255
//   zero = round(-128 - low / scale) or round(127 - high / scale), the one nearer to its end
// Quotients are rounded exactly, halves to even, and scale is the float nearest to its value, so
// that every device computes the same integers.
//
// Shapes      x [tokens][stride4 vec4s], weight [stride4 vec4s], both with zero padding; packed
//             [tokens][words]: four columns a word, the first in the low byte, columns past K equal
//             to zero[t]; params [tokens]: the bits of scale and zero
// Work-item   every L-th vec4 of a row, three times: squares, ends, integers.
// Work-group  one row. Sums and ends meet in shared memory.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "quantize_rows.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;  // a power of two

layout(set = 0, binding = 1) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 2) readonly buffer Weight { vec4 weight[]; };
layout(set = 0, binding = 3) writeonly buffer Packed { uint packed[]; };
layout(set = 0, binding = 4) writeonly buffer Params { uvec2 params[]; };
layout(push_constant) uniform Push { QuantizeRowsPush push; };

// A row whose values hardly differ from 0 has no scale of its own, and scales are not smaller than
// what int8 quantizers on CPUs allow.
const float kNoRange = 1.925929944e-34;  // 2^-112: a quarter of high - low
const float kScaleOfNothing = 0.1;
const float kSmallestScale = 6.1e-5;
const uint kExponent = 0x7f800000u;  // all ones in infinities and what is no number

shared vec2 shared_part[gl_WorkGroupSize.x];

// The sum of value.x, or with `ends` the largest value.x and value.y, over the work-group.
vec2 meet(vec2 value, bool ends) {
  const uint lane = gl_LocalInvocationIndex;
  shared_part[lane] = value;
  barrier();
  for (uint width = gl_WorkGroupSize.x / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      const vec2 a = shared_part[lane];
      const vec2 b = shared_part[lane + width];
      shared_part[lane] = ends ? max(a, b) : a + b;
    }
    barrier();
  }
  const vec2 met = shared_part[0];
  barrier();
  return met;
}

// Columns 4i .. 4i + 3 of row `row`.
vec4 values(uint row, uint i, float factor) {
  precise vec4 y = x[row * push.stride4 + i];
  if ((push.flags & QUANTIZE_NORM) != 0u) y = y * factor * weight[i];
  return y;
}

// y / scale to the nearest integer; a half goes to the even one, or where `odd` to the odd one.
// The estimate is at most one off. Where y is compared with the middle of two integers, the middle
// times the scale is kept as two exact products, and the difference that decides is exact as well.
vec4 nearest(vec4 y, float scale, uvec4 odd) {
  const float upper = uintBitsToFloat(floatBitsToUint(scale) & 0xfffff000u);
  const float lower = scale - upper;
  const vec4 below = floor(y * (1.0 / scale));
  precise vec4 middle = below + 0.5;
  precise vec4 past = y - middle * upper;
  precise vec4 half_way = middle * lower;
  const vec4 on_tie = vec4((uvec4(ivec4(below)) ^ odd) & 1u);
  return below + mix(vec4(greaterThan(past, half_way)), on_tie, equal(past, half_way));
}

// 4 quarter / 255, to the nearest float: the remainder of the first quotient is exact. Of quarters,
// because the whole range, and 256 / 255 of half of it, may be more than a float holds.
float scale_of(float quarter) {
  const float part = 1.0 / 255.0;
  precise float quotient = quarter * part;
  precise float rest = (quarter - quotient * 256.0) + quotient;
  precise float corrected = quotient + rest * part;
  return 4.0 * corrected;
}

// Of the row whose ends are -ends.x and ends.y.
int zero_point(vec2 ends, float scale) {
  const ivec4 steps = ivec4(nearest(vec4(ends, ends), scale, uvec4(0u, 1u, 0u, 1u)));
  // 128 - |low| / scale < 127 - high / scale
  const int zero = ends.x - ends.y > scale ? steps.x - 128 : 127 - steps.y;
  return clamp(zero, -128, 127);
}

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const uint row = (push.flags & QUANTIZE_LAST_ROW) != 0u ? live - 1u : folded_group();
  if (row >= live) return;
  const uint lane = gl_LocalInvocationIndex;
  const uint lanes = gl_WorkGroupSize.x;
  const uint count = (push.columns + 3u) / 4u;

  float factor = 1.0;
  if ((push.flags & QUANTIZE_NORM) != 0u) {
    float squares = 0.0;
    for (uint i = lane; i < count; i += lanes) {
      const vec4 value = x[row * push.stride4 + i];
      squares += dot(value, value);
    }
    factor = inversesqrt(meet(vec2(squares), false).x / float(push.columns) + push.eps);
  }

  vec2 ends = vec2(0.0);  // -low, high
  for (uint i = lane; i < count; i += lanes) {
    const vec4 y = values(row, i, factor);
    if (any(equal(floatBitsToUint(y) & kExponent, uvec4(kExponent)))) {
      ends = vec2(uintBitsToFloat(kExponent));
    } else {
      ends = max(ends, max(max(vec2(-y.x, y.x), vec2(-y.y, y.y)),
                           max(vec2(-y.z, y.z), vec2(-y.w, y.w))));
    }
  }
  ends = meet(ends, true);
  // A row that is not finite gets a scale that is no number: so are the results of this row.
  const bool finite = (floatBitsToUint(ends.x) & kExponent) != kExponent;

  precise float quarter = 0.25 * ends.x + 0.25 * ends.y;
  float scale = quarter < kNoRange ? kScaleOfNothing : scale_of(quarter);
  int zero = zero_point(ends, scale);
  scale = max(scale, kSmallestScale);
  if (!finite) zero = 0;
  for (uint i = lane; i < push.words; i += lanes) {
    ivec4 q = ivec4(zero);
    if (finite && i < count) {
      q = clamp(ivec4(nearest(values(row, i, factor), scale, uvec4(0u))) + zero, -128, 127);
      // Columns past K are zero and so are at the zero point already.
    }
    const uvec4 bytes = uvec4(q) & 0xffu;
    packed[row * push.words + i] = bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
  }
  if (lane == 0u) {
    params[row] = uvec2(finite ? floatBitsToUint(scale) : 0x7fc00000u, uint(zero));
  }
}
