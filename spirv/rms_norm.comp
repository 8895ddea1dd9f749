// out[t][h][i] = x[t][h][i] / sqrt(mean_i(x[t][h][i]^2) + eps) * weight[i]
//
// Shapes      x, out [rows][stride], a row being [heads][units] and its padding; weight [units]. The
//             padding of a row is 0. A unit is a vec4, or with kScalar one element.
// Work-item   every L-th unit of a slice, twice: once for the sum of squares, once for the result.
// Work-group  one slice of a row; the last one writes the row's padding.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#include "common.glsl"
#include "rms_norm.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;  // a power of two, at most 128
layout(constant_id = 1) const uint kScalar = 0u;
#include "reduce.glsl"

layout(set = 0, binding = 1) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 2) readonly buffer Weight { vec4 weight[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { RmsNormPush push; };

vec4 x_at(uint i) {
  return kScalar != 0u ? vec4(x[i / 4u][i % 4u], 0.0, 0.0, 0.0) : x[i];
}

void main() {
  const uint group = folded_group();
  const uint token = group / push.heads;
  const uint head = group - token * push.heads;
  if (token >= live_rows(push.rows)) return;

  const uint row = token * push.stride;
  const uint first = row + head * push.units;
  float squares = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < push.units; i += gl_WorkGroupSize.x) {
    const vec4 value = x_at(first + i);
    squares += dot(value, value);
  }
  const float mean = reduce(squares, false) / float(push.columns);
  const float factor = inversesqrt(mean + push.eps);

  // The last slice also has the padding of the row.
  const uint last = push.heads - 1u;
  const uint units = head == last ? push.stride - last * push.units : push.units;
  for (uint i = gl_LocalInvocationIndex; i < units; i += gl_WorkGroupSize.x) {
    const uint at = first + i;
    vec4 value = vec4(0.0);
    if (i < push.units) {
      value = x_at(at) * factor * (kScalar != 0u ? vec4(weight[i / 4u][i % 4u]) : weight[i]);
    }
    if (kScalar != 0u) {
      result[at / 4u][at % 4u] = value.x;
    } else {
      result[at] = value;
    }
  }
}
