// Attention over the KV cache, without a score matrix: online softmax.
//   out[t][h] = sum_p w_p v[p] / sum_p w_p,   w_p = exp(cap(scale q[t][h] . k[p]) + mask[t'][p]),
//   p = 0 .. t', t' = input_pos + t;  cap(s) = s or cap * tanh(s / cap)
// With a window p begins at t' - window + 1; full: p ends at the last live token for all of them.
// A query that no key is left for (mask -inf everywhere) gives 0.
//
// Shapes      q, out [tokens][stride], heads * D columns; padding of out is written as 0.
//             k, v caches [kv_heads][context][D] as cache_store.glsl writes them, read only where
//             the tile's queries look. Head h reads kv head h / group. mask f32 [..][mask_stride].
// Layout      With splits > 1, out is [splits][tokens][heads][D] of sums not yet divided, and
//             max_sum [splits][tokens][heads][2] their largest exponent (base 2) and sum of
//             weights; sdpa_combine.comp joins them. With splits == 1 max_sum is not touched.
// Work-item   scores of S neighbouring positions (and those S * L further on, ...) of a block
//             against all R queries, then the weighted sum of a chunk of V's dimensions over every
//             P-th S positions of the block.
// Work-group  R queries that share a kv head (query i is token i / group, head i % group of it) x
//             one split: blocks split, split + splits, ... of BLOCK positions, the first of which
//             begins where the window of the tile's first query does.
//             The grid does not depend on the position; the number of blocks walked does.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "cache_mode.h"
#include "common.glsl"
#include "sdpa.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;  // L: 8, 16, 32 or 64
layout(constant_id = 1) const uint D = 256;         // head_dim, a multiple of 4; of 8 with WIDE
layout(constant_id = 2) const uint R = 8;           // queries of a work-group, 1..8
layout(constant_id = 3) const uint MODE = CACHE_F16;  // cache type and ATTEND_*

const uint BLOCK = 64;  // positions of a block, a multiple of L * S
const uint CACHE = MODE & CACHE_MASK;
const bool WINDOW = (MODE & ATTEND_WINDOW) != 0;
const bool SOFTCAP = (MODE & ATTEND_SOFTCAP) != 0;
const bool FULL = (MODE & ATTEND_FULL) != 0;
const bool MASK = (MODE & ATTEND_MASK) != 0;

layout(set = 0, binding = 1) readonly buffer Q { vec4 q[]; };
#ifdef WIDE
#define F16_CHUNK uvec4
#define I8_CHUNK uvec2
const uint V4 = 2;  // vec4s of a chunk: the dimensions that a lane takes at once
#else
#define F16_CHUNK uvec2
#define I8_CHUNK uint
const uint V4 = 1;
#endif
// S positions a lane share each load of a query, and are one load of weights.
#ifdef QUADS
#define WEIGHTS vec4
#define WEIGHT_OF(w, s) w[s]
const uint S = 4;
#else
#define WEIGHTS float
#define WEIGHT_OF(w, s) w
const uint S = 1;
#endif
// One cache seen as each type of element, and an int8 one's scales.
layout(set = 0, binding = 2) readonly buffer KHalves { F16_CHUNK k_f16[]; };
layout(set = 0, binding = 2) readonly buffer KFloats { vec4 k_f32[]; };
layout(set = 0, binding = 2) readonly buffer KBytes { I8_CHUNK k_i8[]; };
layout(set = 0, binding = 2) readonly buffer KScales { float k_scale[]; };
layout(set = 0, binding = 3) readonly buffer VHalves { F16_CHUNK v_f16[]; };
layout(set = 0, binding = 3) readonly buffer VFloats { vec4 v_f32[]; };
layout(set = 0, binding = 3) readonly buffer VBytes { I8_CHUNK v_i8[]; };
layout(set = 0, binding = 3) readonly buffer VScales { float v_scale[]; };
layout(set = 0, binding = 4) writeonly buffer Out { vec4 result[]; };
layout(set = 0, binding = 5) writeonly buffer MaxSum { float max_sum[]; };
layout(set = 0, binding = 6) readonly buffer Mask { float mask[]; };
layout(push_constant) uniform Push { SdpaPush push; };

const uint L = gl_WorkGroupSize.x;
const uint LANE_STEPS = BLOCK / (L * S);  // times S positions of a lane in a block
const uint STEPS = BLOCK / S;
const uint D4 = D / 4;
const uint CHUNKS = D4 / V4;
const uint P = L > CHUNKS ? L / CHUNKS : 1;       // lane groups that share a block's positions
const uint LANE_CHUNKS = (CHUNKS + L - 1) / L;    // chunks of a lane; 1 where P > 1
const float LOWEST = -1e38;                       // score of a masked position
const float LOG2E = 1.44269504;

// 16 KiB at the defaults, which are the largest.
shared vec4 queries[R * D4];          // [R][D4], scaled
shared WEIGHTS weights[2 * R * STEPS];  // [block parity][R][BLOCK]: scores, then weights
shared float lane_values[R * 64];     // [R][L]
shared vec4 parts[64 * V4];           // [P][D4]: one query's sums by the lane groups

#define T WEIGHTS
#include "softcap.glsl"

void unpack_f16(F16_CHUNK w, out vec4 values[V4]) {
  values[0] = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
#ifdef WIDE
  values[1] = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
#endif
}

vec4 bytes_of(uint w) { return vec4(ivec4(w) << ivec4(24, 16, 8, 0) >> 24); }

void unpack_i8(I8_CHUNK w, out vec4 values[V4]) {
#ifdef WIDE
  values[0] = bytes_of(w.x);
  values[1] = bytes_of(w.y);
#else
  values[0] = bytes_of(w);
#endif
}

// Chunk `chunk` of a whole cache. An int8 one is still to be multiplied by its row's scale.
void load_k(uint chunk, out vec4 values[V4]) {
  if (CACHE == CACHE_F32) {
    [[unroll]] for (uint v = 0; v < V4; ++v) values[v] = k_f32[chunk * V4 + v];
  } else if (CACHE == CACHE_F16) {
    unpack_f16(k_f16[chunk], values);
  } else {
    unpack_i8(k_i8[chunk], values);
  }
}

void load_v(uint chunk, out vec4 values[V4]) {
  if (CACHE == CACHE_F32) {
    [[unroll]] for (uint v = 0; v < V4; ++v) values[v] = v_f32[chunk * V4 + v];
  } else if (CACHE == CACHE_F16) {
    unpack_f16(v_f16[chunk], values);
  } else {
    unpack_i8(v_i8[chunk], values);
  }
}

// Joins values[r] of all lanes, by max or by sum, in every lane.
void join_lanes(bool sum, inout float values[R]) {
  const uint lane = gl_LocalInvocationIndex;
  [[unroll]] for (uint r = 0; r < R; ++r) lane_values[r * L + lane] = values[r];
  barrier();
  if (L > 8) {  // fold L values to 8 in place
    for (uint i = lane; i < R * 8; i += L) {
      const uint first = (i / 8) * L + i % 8;
      float value = lane_values[first];
      for (uint k = 8; k < L; k += 8) {
        const float other = lane_values[first + k];
        value = sum ? value + other : max(value, other);
      }
      lane_values[first] = value;
    }
    barrier();
  }
  [[unroll]] for (uint r = 0; r < R; ++r) {
    float value = lane_values[r * L];
    for (uint k = 1; k < 8; ++k) {
      const float other = lane_values[r * L + k];
      value = sum ? value + other : max(value, other);
    }
    values[r] = value;
  }
}

void main() {
  const uint lane = gl_LocalInvocationIndex;
  uint index = folded_group();
  const uint split = index % push.splits;
  index /= push.splits;
  const uint kv = index % push.kv_heads;
  const uint first = index / push.kv_heads * R;
  const uint count = min(step[STEP_TOKEN_COUNT], push.tokens) * push.group;
  if (first >= count) return;

  const uint position = step[STEP_INPUT_POS];
  const uint last = min(first + R, count) - 1;  // surplus queries of the tile repeat the last one
  const uint live = FULL ? count : last + 1;
  const uint end = min(position + (live - 1) / push.group + 1, push.context);
  const uint newest = position + first / push.group + 1;
  const uint begin = WINDOW ? min(max(newest, push.window) - push.window, end - 1) : 0;
  const uint row0 = kv * push.context;             // of the caches
  const uint scales = push.kv_heads * push.context * D4;  // where an int8 cache's scales begin

  for (uint i = lane; i < R * D4; i += L) {
    const uint query = min(first + i / D4, last);
    const uint head = kv * push.group + query % push.group;
    queries[i] = q[query / push.group * push.stride4 + head * D4 + i % D4] * push.query_scale;
  }
  barrier();

  const uint chunk = P > 1 ? lane % CHUNKS : lane;
  const uint share = P > 1 ? lane / CHUNKS : 0;
  vec4 sums[R * LANE_CHUNKS * V4];
  float top[R];
  float total[R];  // of this lane's positions
  [[unroll]] for (uint i = 0; i < R * LANE_CHUNKS * V4; ++i) sums[i] = vec4(0.0);
  [[unroll]] for (uint r = 0; r < R; ++r) {
    top[r] = LOWEST;
    total[r] = 0.0;
  }

  uint parity = 0;
  for (uint base = begin + split * BLOCK; base < end; base += push.splits * BLOCK) {
    const uint block = parity * (R * STEPS);
    parity ^= 1;

    float new_top[R];
    [[unroll]] for (uint r = 0; r < R; ++r) new_top[r] = top[r];
    for (uint b = 0; b < LANE_STEPS; ++b) {
      const uint p = base + (b * L + lane) * S;
      WEIGHTS score[R];
      [[unroll]] for (uint r = 0; r < R; ++r) score[r] = WEIGHTS(0.0);
      for (uint c = 0; c < CHUNKS; ++c) {
        vec4 k[S][V4];
        [[unroll]] for (uint s = 0; s < S; ++s) {
          load_k((row0 + min(p + s, end - 1)) * CHUNKS + c, k[s]);
        }
        [[unroll]] for (uint r = 0; r < R; ++r) {
          [[unroll]] for (uint v = 0; v < V4; ++v) {
            const vec4 query = queries[r * D4 + c * V4 + v];
            [[unroll]] for (uint s = 0; s < S; ++s) WEIGHT_OF(score[r], s) += dot(k[s][v], query);
          }
        }
      }
      WEIGHTS unit = WEIGHTS(1.0);
      if (CACHE == CACHE_I8) {
        [[unroll]] for (uint s = 0; s < S; ++s) {
          WEIGHT_OF(unit, s) = k_scale[scales + row0 + min(p + s, end - 1)];
        }
      }
      [[unroll]] for (uint r = 0; r < R; ++r) {
        const uint self = position + min(first + r, last) / push.group;
        const uint visible = FULL ? end : min(self + 1, end);
        if (CACHE == CACHE_I8) score[r] *= unit;
        if (SOFTCAP) score[r] = capped(score[r]) * push.cap_log2e;
        [[unroll]] for (uint s = 0; s < S; ++s) {
          if (MASK) {
            const uint row = min(self, push.context - 1) * push.mask_stride;
            WEIGHT_OF(score[r], s) += mask[row + min(p + s, end - 1)] * LOG2E;
          }
          bool hidden = p + s >= visible;
          if (WINDOW) hidden = hidden || int(self - p - s) >= int(push.window);
          if (hidden) WEIGHT_OF(score[r], s) = LOWEST;
          if (MASK) WEIGHT_OF(score[r], s) = max(WEIGHT_OF(score[r], s), LOWEST);
          new_top[r] = max(new_top[r], WEIGHT_OF(score[r], s));
        }
        weights[block + r * STEPS + b * L + lane] = score[r];
      }
    }
    join_lanes(false, new_top);

    [[unroll]] for (uint r = 0; r < R; ++r) {
      const float shrink = exp2(top[r] - new_top[r]);
      const float seen = new_top[r] > LOWEST ? 1.0 : 0.0;
      top[r] = new_top[r];
      total[r] *= shrink;
      [[unroll]] for (uint i = 0; i < LANE_CHUNKS * V4; ++i) {
        sums[r * LANE_CHUNKS * V4 + i] *= shrink;
      }
      for (uint b = 0; b < LANE_STEPS; ++b) {
        const uint at = block + r * STEPS + b * L + lane;
        const WEIGHTS weight = seen * exp2(weights[at] - top[r]);
        weights[at] = weight;
        [[unroll]] for (uint s = 0; s < S; ++s) total[r] += WEIGHT_OF(weight, s);
      }
    }
    barrier();

    const uint live_steps = (min(end - base, BLOCK) + S - 1) / S;
    if (share < P && chunk < CHUNKS) {
      for (uint i = share; i < live_steps; i += P) {
        [[unroll]] for (uint j = 0; j < LANE_CHUNKS; ++j) {
          if (chunk + j * L < CHUNKS) {
            vec4 value[S][V4];
            [[unroll]] for (uint s = 0; s < S; ++s) {
              const uint p = min(base + i * S + s, end - 1);
              load_v((row0 + p) * CHUNKS + chunk + j * L, value[s]);
              if (CACHE == CACHE_I8) {
                [[unroll]] for (uint v = 0; v < V4; ++v) value[s][v] *= v_scale[scales + row0 + p];
              }
            }
            [[unroll]] for (uint r = 0; r < R; ++r) {
              const WEIGHTS weight = weights[block + r * STEPS + i];
              [[unroll]] for (uint v = 0; v < V4; ++v) {
                [[unroll]] for (uint s = 0; s < S; ++s) {
                  sums[(r * LANE_CHUNKS + j) * V4 + v] += WEIGHT_OF(weight, s) * value[s][v];
                }
              }
            }
          }
        }
      }
    }
  }

  join_lanes(true, total);
  [[unroll]] for (uint r = 0; r < R; ++r) {
    const uint query = first + r;
    const uint token = query / push.group;
    const uint head = kv * push.group + query % push.group;
    const uint partial_row = (split * push.tokens + token) * push.heads + head;
    const uint to = push.splits > 1 ? partial_row * D4 : token * push.stride4 + head * D4;
    const float inverse = MASK && total[r] == 0.0 ? 0.0 : 1.0 / total[r];
    const float factor = push.splits > 1 ? 1.0 : inverse;

    if (P > 1) {
      if (r > 0) barrier();
      if (share < P) {
        [[unroll]] for (uint v = 0; v < V4; ++v) {
          parts[share * D4 + chunk * V4 + v] = sums[r * V4 + v];
        }
      }
      barrier();
      for (uint i = lane; i < D4; i += L) {
        vec4 value = parts[i];
        for (uint k = 1; k < P; ++k) value += parts[k * D4 + i];
        if (query <= last) result[to + i] = value * factor;
      }
    } else if (query <= last) {
      [[unroll]] for (uint j = 0; j < LANE_CHUNKS; ++j) {
        [[unroll]] for (uint v = 0; v < V4; ++v) {
          const uint c = chunk + j * L;
          if (c < CHUNKS) result[to + c * V4 + v] = sums[(r * LANE_CHUNKS + j) * V4 + v] * factor;
        }
      }
    }
    if (query <= last) {
      if (push.splits > 1) {
        if (lane == 0) {
          max_sum[2 * partial_row] = top[r];
          max_sum[2 * partial_row + 1] = total[r];
        }
      } else if (head + 1 == push.heads) {
        const uint row = token * push.stride4;
        for (uint i = push.heads * D4 + lane; i < push.stride4; i += L) result[row + i] = vec4(0.0);
      }
    }
  }
}
