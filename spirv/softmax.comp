// out[t][c] = exp(scale * (x[t][c] - m)) / sum_c exp(scale * (x[t][c] - m)), m = max_c x[t][c]
//
// Shapes      x, out [rows][stride]; the padding of out is written as 0.
// Work-item   every L-th element of a row, three times: for the largest, the sum, the result.
// Work-group  one row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "softmax.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;
#include "reduce.glsl"

layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { SoftmaxPush push; };

void main() {
  const uint token = folded_group();
  if (token >= live_rows(push.rows)) return;

  const uint lane = gl_LocalInvocationIndex;
  const uint row = token * push.stride;
  float most = x[row];
  float sum = 0.0;
  // A loop, so that the reduction is in the module once.
  [[dont_unroll]] for (uint pass = 0u; pass < 2u; ++pass) {
    float value = pass == 0u ? most : 0.0;
    for (uint c = lane; c < push.columns; c += gl_WorkGroupSize.x) {
      const float here = x[row + c];
      value = pass == 0u ? max(value, here) : value + exp(push.scale * (here - most));
    }
    value = reduce(value, pass == 0u);
    if (pass == 0u) most = value;
    sum = value;
    barrier();
  }
  for (uint c = lane; c < push.stride; c += gl_WorkGroupSize.x) {
    result[row + c] = c < push.columns ? exp(push.scale * (x[row + c] - most)) / sum : 0.0;
  }
}
