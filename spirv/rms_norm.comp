// out[t][i] = x[t][i] / sqrt(mean_i(x[t][i]^2) + eps) * weight[i]
//
// Shapes      x, out [tokens][stride], weight [stride]; the padding of a row is 0.
// Work-item   every L-th vec4 of a row, twice: once for the sum of squares, once for the result.
// Work-group  one token. The sums meet in shared memory: by a tree, or with SUBGROUP one value a
//             subgroup, whatever its size.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#include "common.glsl"
#include "rms_norm.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;  // a power of two, at most 128

layout(set = 0, binding = 1) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 2) readonly buffer Weight { vec4 weight[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { RmsNormPush push; };

shared float partial[128];

float sum_of_workgroup(float value) {
  const uint lane = gl_LocalInvocationIndex;
#ifdef SUBGROUP
  value = subgroupAdd(value);
  if (subgroupElect()) partial[gl_SubgroupID] = value;
  barrier();
  float total = 0.0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) total += partial[i];
  return total;
#else
  partial[lane] = value;
  barrier();
  for (uint width = gl_WorkGroupSize.x / 2; width > 0; width /= 2) {
    if (lane < width) partial[lane] += partial[lane + width];
    barrier();
  }
  return partial[0];
#endif
}

void main() {
  const uint token = folded_group();
  if (token >= step[STEP_TOKEN_COUNT]) return;

  const uint row = token * push.stride4;
  float squares = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < push.stride4; i += gl_WorkGroupSize.x) {
    const vec4 value = x[row + i];
    squares += dot(value, value);
  }
  const float mean = sum_of_workgroup(squares) / float(push.columns);
  const float factor = inversesqrt(mean + push.eps);

  for (uint i = gl_LocalInvocationIndex; i < push.stride4; i += gl_WorkGroupSize.x) {
    result[row + i] = x[row + i] * factor * weight[i];
  }
}
