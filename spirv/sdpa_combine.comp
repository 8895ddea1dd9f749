// Joins the splits of sdpa.comp:
//   out[t][h] = sum_s 2^(m_s - m) a_s / sum_s 2^(m_s - m) l_s,   m = max_s m_s
//
// Shapes      sums a [splits][tokens][heads][head_dim], max_sum (m, l) [splits][tokens][heads][2],
//             out [tokens][stride]; its padding is written as 0.
// Work-item   one vec4 of out.
// Work-group  L vec4s in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "sdpa.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) readonly buffer Sums { vec4 sums[]; };
layout(set = 0, binding = 2) readonly buffer MaxSum { float max_sum[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { SdpaCombinePush push; };

void main() {
  const uint group = folded_group();
  const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  const uint token = i / push.stride4;
  if (token >= step[STEP_TOKEN_COUNT]) return;

  const uint column = i % push.stride4;
  const uint head = column / push.head_dim4;
  if (head >= push.heads) {
    result[i] = vec4(0.0);
    return;
  }
  const uint rows = push.tokens * push.heads;
  const uint row = token * push.heads + head;
  const uint dim4 = column % push.head_dim4;

  float top = max_sum[2 * row];
  for (uint s = 1; s < push.splits; ++s) top = max(top, max_sum[2 * (s * rows + row)]);
  vec4 value = vec4(0.0);
  float total = 0.0;
  for (uint s = 0; s < push.splits; ++s) {
    const uint at = s * rows + row;
    const float part = max_sum[2 * at + 1];
    if (part > 0.0) {
      const float factor = exp2(max_sum[2 * at] - top);
      value += factor * sums[at * push.head_dim4 + dim4];
      total += factor * part;
    }
  }
  result[i] = total > 0.0 ? value / total : vec4(0.0);
}
