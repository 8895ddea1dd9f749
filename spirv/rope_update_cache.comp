// rope of the query and key parts of qkv, then q out and k, v into their caches:
//   q[t]                      = rope(qkv[t][0 .. q_columns), p)         p = input_pos + t
//   k_cache[h][p]             = rope(key head h of qkv[t], p)           in the cache's type
//   v_cache[h][p]             = value head h of qkv[t]
// Tokens at positions from `context` on are dropped. Without q, v and rotation (q_stride 0, keys
// alone in a row, rotary_dim 0) it is update_cache.
//
// Shapes      qkv [tokens][qkv_stride]: q_columns, kv_columns of keys, kv_columns of values,
//             padding; q [tokens][q_stride], padding 0; caches as words, see cache_store.glsl;
//             head_dim a multiple of 4, at most 256. table: rope_angle.glsl
// Work-item   four neighbouring elements, first the keys and values of all tokens, then q with its
//             padding.
// Work-group  group_items of them in a row, across row ends; with an int8 cache as many as are
//             whole heads.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "cache_mode.h"
#include "common.glsl"
#include "rope_update_cache.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint CACHE = CACHE_F16;

layout(set = 0, binding = 1) readonly buffer Qkv { float qkv[]; };
layout(set = 0, binding = 2) readonly buffer Table { float table[]; };
layout(set = 0, binding = 3) writeonly buffer Q { vec4 q[]; };
layout(set = 0, binding = 4) writeonly buffer KCache { uint k_cache[]; };
layout(set = 0, binding = 5) writeonly buffer VCache { uint v_cache[]; };
layout(push_constant) uniform Push { RopeUpdateCachePush push; };

#include "cache_store.glsl"
#include "rope_angle.glsl"

void store(bool is_value, uint word, uint bits) {
  if (is_value) {
    v_cache[word] = bits;
  } else {
    k_cache[word] = bits;
  }
}

void main() {
  const uint lane = gl_LocalInvocationIndex;
  const uint i = folded_group() * push.group_items + lane;
  const bool is_q = i >= push.kv_items;
  const uint row_items = (is_q ? push.q_stride : push.kv_row) / 4;
  const uint item = is_q ? i - push.kv_items : i;
  const uint token = item / max(row_items, 1);
  const uint column = 4 * (item % max(row_items, 1));
  const uint position = step[STEP_INPUT_POS] + token;
  const bool live = lane < push.group_items && row_items > 0 &&
                    token < step[STEP_TOKEN_COUNT] && position < push.context;
  if (CACHE != CACHE_I8 && !live) return;

  const bool is_value = !is_q && column >= push.kv_columns;
  const uint dim = column % push.head_dim;
  vec4 value = vec4(0.0);
  if (live && (!is_q || column < push.q_columns)) {
    const uint from = token * push.qkv_stride + column + (is_q ? 0 : push.q_columns);
    for (uint j = 0; j < 4; ++j) {
      value[j] = qkv[from + j];
      if (!is_value && dim + j < push.rotary_dim) {
        uint pair;
        bool second;
        rope_place(dim + j, push.pair_offset, pair, second);
        const vec2 angle = rope_angle(position, pair, push.rotary_dim);
        const float partner =
            second ? qkv[from + j - push.pair_offset] : -qkv[from + j + push.pair_offset];
        value[j] = value[j] * angle.x + partner * angle.y;
      }
    }
  }
  const float scale = cache_scale(value, push.head_dim / 4);
  if (!live) return;
  if (is_q) {
    q[(token * push.q_stride + column) / 4] = value;
    return;
  }

  const uint kv_column = is_value ? column - push.kv_columns : column;
  const uint row = kv_column / push.head_dim * push.context + position;
  const uint word = (row * push.head_dim + dim) / 4 * CACHE_WORDS;
  const uvec4 words = cache_words(value, scale);
  for (uint w = 0; w < CACHE_WORDS; ++w) store(is_value, word + w, words[w]);
  if (CACHE == CACHE_I8 && dim == 0) {
    store(is_value, push.kv_columns / 4 * push.context + row, floatBitsToUint(scale));
  }
}
