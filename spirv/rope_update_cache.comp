// rope of the query and key parts of qkv, normed head by head where NORM is 1, then q out and k, v
// into their caches:
//   n(x, w)                   = x / sqrt(mean(x^2) + eps) * w, over a head; or x
//   q[t][h]                   = rope(n(query head h of qkv[t], norm[0 .. head_dim)), p)
//   k_cache[h][p]             = rope(n(key head h of qkv[t], norm[head_dim ..)), p)
//   v_cache[h][p]             = value head h of qkv[t]                  p = input_pos + t
// Tokens at positions from `context` on are dropped. Without q, v and rotation (q_stride 0, keys
// alone in a row, rotary_dim 0) it is update_cache; without keys and values (kv_items 0) it is rope.
//
// Where BACK is 1 the rows come from the caches themselves, `shift` positions further on, at least
// as many as there are tokens: rotations add up, so a key turned back by `shift` is one of its new
// position. A table may scale what it turns; that has been done by then.
//
// Shapes      qkv [tokens][qkv_stride]: q_columns, kv_columns of keys, kv_columns of values,
//             padding; q [tokens][q_stride], padding 0; caches as words, see cache_store.glsl;
//             head_dim a multiple of 4, at most 256; norm [2 * head_dim]. table: rope_angle.glsl
// Work-item   four neighbouring elements, first the keys and values of all tokens, then q with its
//             padding.
// Work-group  group_items of them in a row, across row ends; with an int8 cache or a norm as many as
//             are whole heads.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "cache_mode.h"
#include "common.glsl"
#include "rope_update_cache.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint CACHE = CACHE_F16;
layout(constant_id = 2) const uint NORM = 0u;
layout(constant_id = 3) const uint BACK = 0u;

layout(set = 0, binding = 1) readonly buffer Qkv { float qkv[]; };
layout(set = 0, binding = 2) readonly buffer Table { float table[]; };
layout(set = 0, binding = 3) writeonly buffer Q { vec4 q[]; };
layout(set = 0, binding = 4) buffer KCache { uint k_cache[]; };
layout(set = 0, binding = 5) buffer VCache { uint v_cache[]; };
layout(set = 0, binding = 6) readonly buffer Norm { float norm[]; };
layout(push_constant) uniform Push { RopeUpdateCachePush push; };

#include "cache_store.glsl"
#include "rope_angle.glsl"

shared float norm_squares[64];  // the sum of squares that each work-item holds

// What a head is multiplied with before its weights. Called by all work-items.
float norm_factor(vec4 value) {
  if (NORM == 0u) return 1.0;
  const uint lane = gl_LocalInvocationIndex;
  const uint head_items = push.head_dim / 4;
  norm_squares[lane] = dot(value, value);
  barrier();
  const uint first = lane - lane % head_items;
  float squares = 0.0;
  for (uint i = first; i < min(first + head_items, 64u); ++i) squares += norm_squares[i];
  return inversesqrt(squares / float(push.head_dim) + push.eps);
}

uint cached(bool is_value, uint word) { return is_value ? v_cache[word] : k_cache[word]; }

// Where an int8 cache's scales begin.
uint scales() { return push.kv_columns / 4 * push.context; }

// Element `i` of qkv, or of a cache.
float source(bool is_value, uint i) {
  if (BACK == 0u) return qkv[i];
  const uint bits = cached(is_value, i * CACHE_WORDS / 4);
  if (CACHE == CACHE_F32) return uintBitsToFloat(bits);
  if (CACHE == CACHE_F16) return half_of(bits, i);
  const float scale = uintBitsToFloat(cached(is_value, scales() + i / push.head_dim));
  return float(int(bits << (24 - i % 4 * 8)) >> 24) * scale;
}

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
  const uint row_items = (is_q ? push.q_row : push.kv_row) / 4;
  const uint item = is_q ? i - push.kv_items : i;
  const uint token = item / max(row_items, 1);
  const uint column = 4 * (item % max(row_items, 1));
  const uint position = step[STEP_INPUT_POS] + token;
  const bool live = lane < push.group_items && row_items > 0 &&
                    token < step[STEP_TOKEN_COUNT] && position < push.context &&
                    (NORM == 0u || !is_q || column < push.q_stride);
  if (CACHE != CACHE_I8 && NORM == 0u && !live) return;

  const bool is_value = !is_q && column >= push.kv_columns;
  const uint dim = column % push.head_dim;
  const bool there = live && (!is_q || column < push.q_columns);
  const uint kv_column = is_value ? column - push.kv_columns : column;
  const uint row = kv_column / push.head_dim * push.context + position;
  // Where the head begins.
  const uint from = BACK != 0u ? (row + push.shift) * push.head_dim
                               : token * push.qkv_stride + column - dim + (is_q ? 0 : push.q_columns);
  vec4 value = vec4(0.0);
  for (uint j = 0; there && j < 4; ++j) value[j] = source(is_value, from + dim + j);
  const float factor = norm_factor(value);
  if (there && !is_value) {
    // Where head elements 0 and on have their weight.
    const uint weights = is_q ? 0 : push.head_dim;
    for (uint j = 0; j < 4; ++j) {
      if (NORM != 0u) value[j] *= factor * norm[weights + dim + j];
      if (dim + j >= push.rotary_dim) continue;
      uint pair;
      bool second;
      rope_place(dim + j, push.pair_offset, pair, second);
      vec2 angle = rope_angle(BACK != 0u ? push.shift : position, pair, push.rotary_dim);
      if (BACK != 0u) angle = normalize(angle) * vec2(1.0, -1.0);
      const uint other = second ? dim + j - push.pair_offset : dim + j + push.pair_offset;
      float partner = source(false, from + other);
      if (NORM != 0u) partner *= factor * norm[weights + other];
      value[j] = value[j] * angle.x + (second ? partner : -partner) * angle.y;
    }
  }
  const float scale = cache_scale(value, push.head_dim / 4);
  if (!live) return;
  if (is_q) {
    q[(token * push.q_stride + column) / 4] = value;
    return;
  }

  const uint word = (row * push.head_dim + dim) / 4 * CACHE_WORDS;
  const uvec4 words = cache_words(value, scale);
  for (uint w = 0; w < CACHE_WORDS; ++w) store(is_value, word + w, words[w]);
  if (CACHE == CACHE_I8 && dim == 0) {
    store(is_value, scales() + row, floatBitsToUint(scale));
  }
}
