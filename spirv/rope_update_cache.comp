// rope of the query and key parts of qkv, then q out and k, v into their caches:
//   q[t]                      = rope(qkv[t][0 .. q_columns), p)         p = input_pos + t
//   k_cache[h][p]             = f16(rope(key head h of qkv[t], p))
//   v_cache[h][p]             = f16(value head h of qkv[t])
// Tokens at positions from `context` on are dropped.
//
// Shapes      qkv [tokens][qkv_stride]: q_columns, kv_columns of keys, kv_columns of values,
//             padding; q [tokens][q_stride], padding 0; caches f16 [kv_heads][context][head_dim],
//             two halves a word; head_dim a multiple of 4. table: rope_angle.glsl
// Work-item   two neighbouring elements, first those of q with its padding, then keys, then values.
// Work-group  L such pairs in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "rope_update_cache.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) readonly buffer Qkv { float qkv[]; };
layout(set = 0, binding = 2) readonly buffer Table { float table[]; };
layout(set = 0, binding = 3) writeonly buffer Q { float q[]; };
layout(set = 0, binding = 4) writeonly buffer KCache { uint k_cache[]; };
layout(set = 0, binding = 5) writeonly buffer VCache { uint v_cache[]; };
layout(push_constant) uniform Push { RopeUpdateCachePush push; };

#include "half_pack.glsl"
#include "rope_angle.glsl"

void main() {
  const uint group = folded_group();
  const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  const uint row_pairs = (push.q_stride + 2 * push.kv_columns) / 2;
  const uint token = i / row_pairs;
  const uint position = step[STEP_INPUT_POS] + token;
  if (token >= step[STEP_TOKEN_COUNT] || position >= push.context) return;

  // Columns of the outputs side by side: q with its padding, keys, values.
  const uint column = 2 * (i % row_pairs);
  const bool is_q = column < push.q_stride;
  const bool is_value = column >= push.q_stride + push.kv_columns;
  const bool is_padding = is_q && column >= push.q_columns;
  const uint source = is_q ? column : column - push.q_stride + push.q_columns;
  const uint dim = source % push.head_dim;

  float value[2];
  for (uint j = 0; j < 2; ++j) {
    const uint from = token * push.qkv_stride + source + j;
    value[j] = is_padding ? 0.0 : qkv[from];
    if (!is_padding && !is_value && dim + j < push.rotary_dim) {
      uint pair;
      bool second;
      rope_place(dim + j, push.pair_offset, pair, second);
      const vec2 angle = rope_angle(position, pair, push.rotary_dim);
      const float partner = second ? qkv[from - push.pair_offset] : -qkv[from + push.pair_offset];
      value[j] = value[j] * angle.x + partner * angle.y;
    }
  }
  if (is_q) {
    const uint to = token * push.q_stride + column;
    q[to] = value[0];
    q[to + 1] = value[1];
    return;
  }
  const uint key_column = column - push.q_stride;
  const uint kv_column = is_value ? key_column - push.kv_columns : key_column;
  const uint head = kv_column / push.head_dim;
  const uint word = ((head * push.context + position) * push.head_dim + dim) / 2;
  const uint packed = pack_halves(value[0], value[1]);
  if (is_value) {
    v_cache[word] = packed;
  } else {
    k_cache[word] = packed;
  }
}
