#version 450
// out[t][e] = (nibble(tokens[t], e) - 8) * scale[tokens[t]][e / G]
//
// Shapes  weight [V, E], out [T, align_up(E, 32)] f32, its padding columns written as zero
// Layout  q4_t16k8 (rt/model/model.h): word ((n/16) * (K/8) + k/8) * 16 + n%16 holds row n's eight
//         values k..k+7; byte b has k%8 = b in its low and b + 4 in its high nibble. Scales: f16 at
//         ((n/16) * (K/G) + k/G) * 16 + n%16. A binding holds the window of rows
//         row_begin .. row_begin + row_count - 1; tokens outside it are left to another dispatch.
// A work-item writes eight elements of one row: one weight word, two vec4 stores.
// A work-group does local_size words of row gl_WorkGroupID.y.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "embedding.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(push_constant) uniform Push { EmbeddingPush push; };
layout(set = 0, binding = 1) readonly buffer Nibbles { uint weight[]; };
layout(set = 0, binding = 2) readonly buffer Scales { uint scales[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };

void main() {
  const uint word = gl_GlobalInvocationID.x;
  const uint t = gl_WorkGroupID.y;
  const uint stride_words = padded_columns(push.columns) / 8u;
  if (t >= step[STEP_TOKEN_COUNT] || word >= stride_words) return;
  // A token past the vocabulary reads the last row; the host refuses such tokens beforehand.
  const uint token = min(step[STEP_TOKENS + t], push.rows - 1u);
  if (token < push.row_begin || token - push.row_begin >= push.row_count) return;
  const uint row = token - push.row_begin;

  vec4 low = vec4(0.0);
  vec4 high = vec4(0.0);
  if (word < push.k_words) {
    const uint bits = weight[((row / 16u) * push.k_words + word) * 16u + row % 16u];
    const uint groups = push.k_words / push.group_words;
    const uint s = ((row / 16u) * groups + word / push.group_words) * 16u + row % 16u;
    const float scale = half_of(scales[s / 2u], s);
    low = (nibbles(bits, 0u) - 8.0) * scale;
    high = (nibbles(bits, 4u) - 8.0) * scale;
  }
  result[(t * stride_words + word) * 2u] = low;
  result[(t * stride_words + word) * 2u + 1u] = high;
}
