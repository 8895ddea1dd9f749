// out = a + b
//
// Shapes      a, b, out [tokens][stride]; the padding of a row is 0, and f(0, 0) = 0.
// Work-item   one vec4.
// Work-group  L vec4s in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "elementwise.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) readonly buffer A { vec4 a[]; };
layout(set = 0, binding = 2) readonly buffer B { vec4 b[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { ElementwisePush push; };

void main() {
  const uint group = folded_group();
  const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  if (i >= step[STEP_TOKEN_COUNT] * push.stride4) return;
  result[i] = a[i] + b[i];
}
