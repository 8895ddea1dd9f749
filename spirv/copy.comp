// out[t][c] = x_s[t][offset + k % period * inner + k / period * outer], k = c - begin[s]
//
// where s is the last source that begins at or before column c: what slice, cat and permute are.
//
// Shapes      x_0 .. x_3 [rows][source[s]], out [rows][stride]; the padding of out is written as 0.
// Work-item   one element.
// Work-group  L elements in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "copy.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) readonly buffer X0 { float x0[]; };
layout(set = 0, binding = 2) readonly buffer X1 { float x1[]; };
layout(set = 0, binding = 3) readonly buffer X2 { float x2[]; };
layout(set = 0, binding = 4) readonly buffer X3 { float x3[]; };
layout(set = 0, binding = 5) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { CopyPush push; };

float element(uint s, uint i) {
  if (s == 0u) return x0[i];
  if (s == 1u) return x1[i];
  if (s == 2u) return x2[i];
  return x3[i];
}

void main() {
  const uint i = folded_group() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  if (i >= live_rows(push.rows) * push.stride) return;
  const uint t = i / push.stride;
  const uint c = i - t * push.stride;
  float value = 0.0;
  if (c < push.columns) {
    const uint s = uint(c >= push.begin[1]) + uint(c >= push.begin[2]) + uint(c >= push.begin[3]);
    const uint k = c - push.begin[s];
    const uint row = push.last_of != 0u ? max(live_rows(push.last_of), 1u) - 1u : t;
    const uint column = push.offset + k % push.period * push.inner + k / push.period * push.outer;
    value = element(s, row * push.source[s] + column);
  }
  result[i] = value;
}
