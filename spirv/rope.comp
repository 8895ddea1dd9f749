// Rotates each head of each token at its position p = input_pos + t:
//   out[a] = x[a] cos - x[b] sin,  out[b] = x[b] cos + x[a] sin   for each pair (a, b) of dims;
// dims from rotary_dim on pass through.
//
// Shapes      x, out [tokens][stride], columns = heads * head_dim; padding 0.
//             table: rope_angle.glsl
// Work-item   one element of out.
// Work-group  L elements in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "rope.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Table { float table[]; };
layout(set = 0, binding = 3) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { RopePush push; };

#include "rope_angle.glsl"

void main() {
  const uint group = folded_group();
  const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  const uint token = i / push.stride;
  if (token >= step[STEP_TOKEN_COUNT]) return;

  const uint column = i % push.stride;
  const uint dim = column % push.head_dim;
  float value = column < push.columns ? x[i] : 0.0;
  if (column < push.columns && dim < push.rotary_dim) {
    uint pair;
    bool second;
    rope_place(dim, push.pair_offset, pair, second);
    const vec2 angle = rope_angle(step[STEP_INPUT_POS] + token, pair, push.rotary_dim);
    const float partner = second ? x[i - push.pair_offset] : -x[i + push.pair_offset];
    value = value * angle.x + partner * angle.y;
  }
  result[i] = value;
}
