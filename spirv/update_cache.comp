// cache[h][input_pos + t][d] = f16(x[t][h * head_dim + d])
// Positions from `context` on are dropped.
//
// Shapes      x [tokens][stride], columns = kv_heads * head_dim, head_dim even;
//             cache f16 [kv_heads][context][head_dim], two halves a word.
// Work-item   one word of the cache.
// Work-group  L words in a row of x, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "update_cache.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) writeonly buffer Cache { uint cache[]; };
layout(push_constant) uniform Push { UpdateCachePush push; };

#include "half_pack.glsl"

void main() {
  const uint group = folded_group();
  const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  const uint row_words = push.columns / 2;
  const uint token = i / row_words;
  const uint position = step[STEP_INPUT_POS] + token;
  if (token >= step[STEP_TOKEN_COUNT] || position >= push.context) return;

  const uint column = 2 * (i % row_words);
  const uint head = column / push.head_dim;
  const uint dim = column % push.head_dim;
  const uint from = token * push.stride + column;
  cache[((head * push.context + position) * push.head_dim + dim) / 2] =
      pack_halves(x[from], x[from + 1]);
}
