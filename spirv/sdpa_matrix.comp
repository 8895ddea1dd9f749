// sdpa.comp on matrix units: the products of queries with keys, and of weights with values, are 16 x
// 16 x 16 matrices of a subgroup of 32, factors in f16, sums in f32. Scores and their online softmax
// stay f32; queries, and weights between 0 and 1, are rounded to f16.
//
// Shapes      as sdpa.comp, for caches of f16; D, of a head, a multiple of 16.
// Work-group  4 subgroups of 16 queries each, which share a kv head (query i is token i / group, head
//             i % group of it), x one split. They walk the context in blocks; each subgroup has its
//             own rows of scores, so that only loads are waited for together. Tiles with the longest
//             rows come first.
// Layout      sdpa.comp's. pool: BLOCK rows of keys, BLOCK rows of values, then a strip a subgroup:
//             16 rows of scores, then in the same place the weights, and what older sums shrink by.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_NV_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "cache_mode.h"
#include "common.glsl"
#include "sdpa.push.h"

const uint SUBGROUPS = 4;
const uint L = 32 * SUBGROUPS;
layout(local_size_x = 128) in;
layout(constant_id = 0) const uint MODE = CACHE_F16;  // ATTEND_*
// Of a matrix. All are 16, in constants of their own: types of matrices are told apart by them.
layout(constant_id = 1) const uint M = 16;
layout(constant_id = 2) const uint N = 16;
layout(constant_id = 3) const uint K = 16;

const bool WINDOW = (MODE & ATTEND_WINDOW) != 0;
const bool SOFTCAP = (MODE & ATTEND_SOFTCAP) != 0;
const bool FULL = (MODE & ATTEND_FULL) != 0;
const bool MASK = (MODE & ATTEND_MASK) != 0;

layout(set = 0, binding = 1) readonly buffer Q { vec4 q[]; };
layout(set = 0, binding = 2) readonly buffer Keys { uvec4 keys[]; };
layout(set = 0, binding = 3) readonly buffer Values { uvec4 values[]; };
layout(set = 0, binding = 4) writeonly buffer Out { vec4 result[]; };
layout(set = 0, binding = 5) writeonly buffer MaxSum { vec2 max_sum[]; };
layout(set = 0, binding = 6) readonly buffer Mask { float mask[]; };
layout(push_constant) uniform Push { SdpaPush push; };

const uint ROWS = 16 * SUBGROUPS;
const uint D4 = D / 4;
const uint D8 = D / 8;
const uint ROW = D8 + 1;               // of keys, values and queries: the last keeps banks apart
const uint STRIP_ROW = BLOCK / 4 + 2;  // of scores
const uint STRIP = 2 * BLOCK * ROW;    // where the strips begin
const uint ITEMS = BLOCK * D8 / L;     // of keys, and of values, that a lane loads
const uint QUADS = BLOCK / 8;          // of scores of a lane: every other one of half a row
const uint DS = D / 16;
const uint BS = BLOCK / 16;
const uint ELEMENTS = M * N / 32;  // of a matrix, that a lane has
const float LOWEST = -1e38;  // score of a masked position
const float LOG2E = 1.44269504;

shared uvec4 pool[STRIP + SUBGROUPS * 16 * STRIP_ROW];

#define T vec4
#include "softcap.glsl"

#define LEFT fcoopmatNV<16, gl_ScopeSubgroup, M, K>
#define RIGHT fcoopmatNV<16, gl_ScopeSubgroup, K, N>
#define SUM fcoopmatNV<32, gl_ScopeSubgroup, M, N>

uint pack_clamped(vec2 v) {
  return packFloat2x16(clamp(f16vec2(v), f16vec2(-65504.0), f16vec2(65504.0)));
}

uvec4 key_next[ITEMS];
uvec4 value_next[ITEMS];

// Rows past the end are 0: what lies there may be anything, and 0 times that.
void fetch(uint row0, uint base, uint end) {
  [[unroll]] for (uint i = 0; i < ITEMS; ++i) {
    const uint item = gl_LocalInvocationIndex + i * L;
    const uint p = base + item / D8;
    key_next[i] = uvec4(0);
    value_next[i] = uvec4(0);
    if (p < end) {
      const uint at = (row0 + p) * D8 + item % D8;
      key_next[i] = keys[at];
      value_next[i] = values[at];
    }
  }
}

void stage() {
  [[unroll]] for (uint i = 0; i < ITEMS; ++i) {
    const uint item = gl_LocalInvocationIndex + i * L;
    const uint at = item / D8 * ROW + item % D8;
    pool[at] = key_next[i];
    pool[BLOCK * ROW + at] = value_next[i];
  }
}

void main() {
  uint index = folded_group();
  const uint split = index % push.splits;
  index /= push.splits;
  const uint kv = index % push.kv_heads;
  const uint count = min(step[STEP_TOKEN_COUNT], push.tokens) * push.group;
  const uint tiles = (count + ROWS - 1) / ROWS;
  if (index / push.kv_heads >= tiles) return;
  const uint first = (tiles - 1 - index / push.kv_heads) * ROWS;

  const uint position = step[STEP_INPUT_POS];
  const uint last = min(first + ROWS, count) - 1;  // surplus queries of the tile repeat the last one
  const uint live = FULL ? count : last + 1;
  const uint end = min(position + (live - 1) / push.group + 1, push.context);
  const uint newest = position + first / push.group + 1;
  const uint begin = WINDOW ? min(max(newest, push.window) - push.window, end - 1) : 0;
  const uint row0 = kv * push.context;  // of the caches

  for (uint i = gl_LocalInvocationIndex; i < ROWS * D8; i += L) {
    const uint query = min(first + i / D8, last);
    const uint head = kv * push.group + query % push.group;
    const uint at = query / push.group * push.stride4 + head * D4 + i % D8 * 2;
    const vec4 low = q[at] * push.query_scale, high = q[at + 1] * push.query_scale;
    pool[i / D8 * ROW + i % D8] = uvec4(pack_clamped(low.xy), pack_clamped(low.zw),
                                        pack_clamped(high.xy), pack_clamped(high.zw));
  }
  barrier();
  LEFT queries[DS];
  [[unroll]] for (uint d = 0; d < DS; ++d) {
    coopMatLoadNV(queries[d], pool, gl_SubgroupID * 16 * ROW + d * 2, ROW, false);
  }

  // The row of scores whose every other quad this lane has, and its query.
  const uint row = gl_SubgroupInvocationID / 2;
  const uint odd = gl_SubgroupInvocationID % 2;
  const uint strip = STRIP + gl_SubgroupID * 16 * STRIP_ROW;
  const uint mine = strip + row * STRIP_ROW;
  const uint query = first + gl_SubgroupID * 16 + row;
  const uint self = position + min(query, last) / push.group;
  const uint visible = FULL ? end : min(self + 1, end);

  SUM sums[DS];
  [[unroll]] for (uint d = 0; d < DS; ++d) sums[d] = SUM(0.0);
  float top = LOWEST;
  float total = 0.0;  // of this lane's positions

  const uint stride = push.splits * BLOCK;
  fetch(row0, begin + split * BLOCK, end);
  for (uint base = begin + split * BLOCK; base < end; base += stride) {
    barrier();
    stage();
    barrier();
    if (base + stride < end) fetch(row0, base + stride, end);

    [[unroll]] for (uint b = 0; b < BS; ++b) {
      SUM scores = SUM(0.0);
      [[unroll]] for (uint d = 0; d < DS; ++d) {
        RIGHT k;
        coopMatLoadNV(k, pool, b * 16 * ROW + d * 2, ROW, true);
        scores = coopMatMulAddNV(queries[d], k, scores);
      }
      coopMatStoreNV(scores, pool, strip + b * 4, STRIP_ROW, false);
    }
    subgroupBarrier();

    vec4 score[QUADS];
    float new_top = top;
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      score[i] = uintBitsToFloat(pool[mine + 2 * i + odd]);
      if (SOFTCAP) score[i] = capped(score[i]) * push.cap_log2e;
      const uvec4 p = uvec4(base + 8 * i + 4 * odd) + uvec4(0, 1, 2, 3);
      [[unroll]] for (uint s = 0; s < 4; ++s) {
        if (MASK) {
          const uint from = min(self, push.context - 1) * push.mask_stride;
          score[i][s] += mask[from + min(p[s], end - 1)] * LOG2E;
        }
        bool hidden = p[s] >= visible;
        if (WINDOW) hidden = hidden || int(self - p[s]) >= int(push.window);
        if (hidden) score[i][s] = LOWEST;
        if (MASK) score[i][s] = max(score[i][s], LOWEST);
        new_top = max(new_top, score[i][s]);
      }
    }
    new_top = max(new_top, subgroupShuffleXor(new_top, 1));
    const float shrink = exp2(top - new_top);
    const float seen = new_top > LOWEST ? 1.0 : 0.0;
    top = new_top;
    total *= shrink;
    subgroupBarrier();  // all scores have been read
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      const vec4 weight = seen * exp2(score[i] - top);
      total += dot(weight, vec4(1.0));
      const uvec2 halves = uvec2(packFloat2x16(f16vec2(weight.xy)), packFloat2x16(f16vec2(weight.zw)));
      if (odd == 0) {
        pool[mine + i].xy = halves;
      } else {
        pool[mine + i].zw = halves;
      }
    }
    pool[mine + QUADS + 2 * odd] = floatBitsToUint(vec4(shrink));
    pool[mine + QUADS + 2 * odd + 1] = floatBitsToUint(vec4(shrink));
    subgroupBarrier();

    SUM shrinks;
    coopMatLoadNV(shrinks, pool, strip + QUADS, STRIP_ROW, false);
    LEFT weights[BS];
    [[unroll]] for (uint b = 0; b < BS; ++b) {
      coopMatLoadNV(weights[b], pool, strip + b * 2, STRIP_ROW, false);
    }
    [[unroll]] for (uint d = 0; d < DS; ++d) {
      [[unroll]] for (uint i = 0; i < ELEMENTS; ++i) sums[d][i] *= shrinks[i];
      [[unroll]] for (uint b = 0; b < BS; ++b) {
        RIGHT v;
        coopMatLoadNV(v, pool, (BLOCK + b * 16) * ROW + d * 2, ROW, false);
        sums[d] = coopMatMulAddNV(weights[b], v, sums[d]);
      }
    }
  }

  total += subgroupShuffleXor(total, 1);
  const uint token = query / push.group;
  const uint head = kv * push.group + query % push.group;
  const uint partial_row = (split * push.tokens + token) * push.heads + head;
  const uint to = push.splits > 1 ? partial_row * D4 : token * push.stride4 + head * D4;
  const float inverse = MASK && total == 0.0 ? 0.0 : 1.0 / total;
  const float factor = push.splits > 1 ? 1.0 : inverse;
  // As many matrices at once as a strip has room for.
  [[unroll]] for (uint d0 = 0; d0 < DS; d0 += BS) {
    subgroupBarrier();
    [[unroll]] for (uint d = d0; d < min(d0 + BS, DS); ++d) {
      coopMatStoreNV(sums[d], pool, strip + (d - d0) * 4, STRIP_ROW, false);
    }
    subgroupBarrier();
    if (query <= last) {
      for (uint i = odd; i < min(BS, DS - d0) * 4; i += 2) {
        result[to + d0 * 4 + i] = uintBitsToFloat(pool[mine + i]) * factor;
      }
    }
  }
  if (query > last) return;
  if (push.splits > 1) {
    if (odd == 0) max_sum[partial_row] = vec2(top, total);
  } else if (head + 1 == push.heads) {
    const uint end4 = token * push.stride4;
    for (uint i = push.heads * D4 + odd; i < push.stride4; i += 2) result[end4 + i] = vec4(0.0);
  }
}
