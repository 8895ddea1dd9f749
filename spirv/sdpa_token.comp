// rope_update_cache.comp, sdpa.comp and sdpa_combine.comp in one, for a single token:
//   q, k of the token are rotated, k and v put into their caches, and
//   out[h] = sum_p w_p v[p] / sum_p w_p,   w_p = exp(cap(scale q[h] . k[p])),
//   p = 0 .. input_pos, or with a window input_pos - window + 1 .. input_pos
//
// Shapes      qkv: heads * D of queries, kv_heads * D of keys, as many of values; out [stride],
//             padding 0; caches [kv_heads][context][D], f16 or int8, as in cache_store.glsl;
//             table as in rope_angle.glsl. D a multiple of 8.
// Layout      sums f32 [splits][heads][D] and max_sum [splits][heads] (largest exponent, base 2,
//             and sum of weights) hold the parts of work-groups that share a kv head. Not touched
//             where one has all positions.
// Work-item   the scores of every L-th position for R queries, then the sums of 8 dimensions over
//             every P-th position.
// Work-group  one kv head, R = heads / kv_heads queries, x one split: neighbouring blocks of L
//             positions. The last one to finish for a kv head joins the parts; it knows by a
//             counter in the step buffer, which it sets back to 0.
// Order       The new key and value are taken from qkv; only the work-group that writes them into
//             the caches looks at their position, so that nobody waits for it.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "cache_mode.h"
#include "sdpa_token.push.h"
#include "step_state.h"

layout(local_size_x = 128, local_size_x_id = 0) in;  // L
layout(constant_id = 1) const uint D = 64;
layout(constant_id = 2) const uint R = 1;
layout(constant_id = 3) const uint MODE = CACHE_F16;  // or CACHE_I8, ATTEND_WINDOW, _SOFTCAP

layout(set = 0, binding = 0) coherent buffer Step { uint step[]; };
layout(set = 0, binding = 1) readonly buffer Qkv { float qkv[]; };
layout(set = 0, binding = 2) readonly buffer Table { float table[]; };
// One cache seen as 16 bytes at a time, as eight int8 at a time, and as an int8 one's scales.
layout(set = 0, binding = 3) buffer KCache { uvec4 k_cache[]; };
layout(set = 0, binding = 3) buffer KBytes { uvec2 k_bytes[]; };
layout(set = 0, binding = 3) buffer KScales { float k_scale[]; };
layout(set = 0, binding = 4) buffer VCache { uvec4 v_cache[]; };
layout(set = 0, binding = 4) buffer VBytes { uvec2 v_bytes[]; };
layout(set = 0, binding = 4) buffer VScales { float v_scale[]; };
layout(set = 0, binding = 5) writeonly buffer Out { vec4 result[]; };
layout(set = 0, binding = 6) coherent buffer Sums { vec4 sums[]; };
layout(set = 0, binding = 7) coherent buffer MaxSum { vec2 max_sum[]; };
layout(push_constant) uniform Push { SdpaTokenPush push; };

#include "half_pack.glsl"
#include "int8_scale.glsl"
#include "rope_angle.glsl"

#define T float
#include "softcap.glsl"

const uint CACHE = MODE & CACHE_MASK;
const bool WINDOW = (MODE & ATTEND_WINDOW) != 0;
const bool SOFTCAP = (MODE & ATTEND_SOFTCAP) != 0;
const uint L = gl_WorkGroupSize.x;
const uint D4 = D / 4;
const uint CHUNKS = D / 8;
const uint P = L / CHUNKS;
const uint AHEAD = 8;  // loads of a lane in flight
const float LOWEST = -1e38;

shared vec4 queries[R * D4];  // scaled
shared vec4 fresh[2 * D4];    // the new key and value as the cache has them; int8 without scale
shared float weights[R * L];
shared float tops[R * 16];
shared vec4 parts[R * P * D4];
shared float part_totals[R * P];
shared uint finished;

// Eight elements as they lie in a cache; int8 ones are half of it.
uvec4 load_k(uint chunk) {
  if (CACHE == CACHE_I8) return k_bytes[chunk].xyxy;
  return k_cache[chunk];
}

uvec4 load_v(uint chunk) {
  if (CACHE == CACHE_I8) return v_bytes[chunk].xyxy;
  return v_cache[chunk];
}

vec4 bytes_of(uint w) { return vec4(ivec4(w) << ivec4(24, 16, 8, 0) >> 24); }

uint pack_bytes(vec4 q) {
  const uvec4 bytes = uvec4(ivec4(q)) & 0xffu;
  return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

void unpack(uvec4 w, out vec4 low, out vec4 high) {
  if (CACHE == CACHE_I8) {
    low = bytes_of(w.x);
    high = bytes_of(w.y);
  } else {
    low = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
    high = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
  }
}

// The scales of the new key and value; the elements in `fresh` become int8.
vec2 quantize_fresh() {
  vec2 scale = vec2(0.0);
  barrier();
  for (uint row = 0; row < 2; ++row) {
    uvec4 size = uvec4(0u);
    for (uint i = 0; i < D4; ++i) size = max(size, floatBitsToUint(abs(fresh[row * D4 + i])));
    scale[row] = int8_scale(max(max(size.x, size.y), max(size.z, size.w)));
  }
  barrier();
  for (uint i = gl_LocalInvocationIndex; i < 2 * D4; i += L) {
    const float unit = scale[i / D4];
    fresh[i] = unit > 0.0 ? roundEven(clamp(fresh[i] / unit, -127.0, 127.0)) : vec4(0.0);
  }
  return scale;
}

// Queries, the new key and the new value into shared memory.
void prepare(uint kv, uint position) {
  for (uint i = gl_LocalInvocationIndex; i < (R + 2) * D; i += L) {
    const uint vector = i / D;  // queries, key, value
    const uint dim = i % D;
    const uint head = vector < R ? kv * R + vector
                                 : push.heads + (vector == R ? kv : push.kv_heads + kv);
    const uint from = head * D + dim;
    float value = qkv[from];
    if (vector <= R && dim < push.rotary_dim) {
      uint pair;
      bool second;
      rope_place(dim, push.pair_offset, pair, second);
      const float other = second ? qkv[from - push.pair_offset] : -qkv[from + push.pair_offset];
      const vec2 angle = rope_angle(position, pair, push.rotary_dim);
      value = value * angle.x + other * angle.y;
    }
    if (vector < R) {
      queries[i / 4][i % 4] = value * push.query_scale;
    } else {
      if (CACHE != CACHE_I8) value = round_to_half(vec4(value)).x;
      fresh[i / 4 - R * D4][i % 4] = value;
    }
  }
}

// The largest of weights[r] in every lane.
void join_tops(inout float top[R]) {
  const uint lane = gl_LocalInvocationIndex;
  for (uint i = lane; i < R * 16; i += L) {
    float value = LOWEST;
    [[unroll]] for (uint k = 0; k < L / 16; ++k) {
      value = max(value, weights[i / 16 * L + k * 16 + i % 16]);
    }
    tops[i] = value;
  }
  barrier();
  [[unroll]] for (uint r = 0; r < R; ++r) {
    [[unroll]] for (uint k = 0; k < 16; ++k) top[r] = max(top[r], tops[r * 16 + k]);
  }
}

// Joins the parts of all splits of a kv head.
void combine(uint kv, uint used) {
  for (uint i = gl_LocalInvocationIndex; i < R * D4; i += L) {
    const uint head = kv * R + i / D4;
    float top = LOWEST;
    for (uint s = 0; s < used; ++s) top = max(top, max_sum[s * push.heads + head].x);
    vec4 value = vec4(0.0);
    float total = 0.0;
    for (uint s = 0; s < used; ++s) {
      const uint row = s * push.heads + head;
      const float factor = exp2(max_sum[row].x - top);
      value += factor * sums[row * D4 + i % D4];
      total += factor * max_sum[row].y;
    }
    result[head * D4 + i % D4] = value / total;
  }
}

void main() {
  const uint lane = gl_LocalInvocationIndex;
  const uint split = gl_WorkGroupID.x;
  const uint kv = gl_WorkGroupID.y;
  const uint position = step[STEP_INPUT_POS];
  if (step[STEP_TOKEN_COUNT] == 0 || position >= push.context) return;
  const uint oldest = WINDOW ? max(position + 1, push.window) - push.window : 0;
  const uint blocks = (position - oldest) / L + 1;
  const uint split_blocks = (blocks + push.splits - 1) / push.splits;
  const uint used = (blocks + split_blocks - 1) / split_blocks;
  if (split >= used) return;
  const uint begin = oldest + split * split_blocks * L;
  const uint end = min(begin + split_blocks * L, position + 1);

  const uint cache = kv * push.context * CHUNKS;
  const uint scales = push.kv_heads * push.context * D4 + kv * push.context;
  const uint newest = max(position, 1) - 1;  // position of the last old key
  const uint chunk = lane % CHUNKS;
  const uint share = lane / CHUNKS;
  vec2 fresh_scale = vec2(1.0);
  float top[R];
  float total[R];  // of the positions of this lane's share
  vec4 sum[R * 2];
  [[unroll]] for (uint r = 0; r < R; ++r) {
    top[r] = LOWEST;
    total[r] = 0.0;
    sum[2 * r] = sum[2 * r + 1] = vec4(0.0);
  }

  for (uint base = begin; base < end; base += L) {
    const uint p = base + lane;
    const uint k_at = cache + min(p, newest) * CHUNKS;
    uvec4 keys[AHEAD];
    uvec4 values[AHEAD];
    [[unroll]] for (uint c = 0; c < AHEAD; ++c) keys[c] = load_k(k_at + min(c, CHUNKS - 1));
    [[unroll]] for (uint i = 0; i < AHEAD; ++i) {
      values[i] = load_v(cache + min(base + share + i * P, newest) * CHUNKS + chunk);
    }
    if (base == begin) {
      prepare(kv, position);
      if (CACHE == CACHE_I8) fresh_scale = quantize_fresh();
      barrier();
    }

    float score[R];
    [[unroll]] for (uint r = 0; r < R; ++r) score[r] = 0.0;
    for (uint first = 0; first < CHUNKS; first += AHEAD) {
      [[unroll]] for (uint c = 0; c < AHEAD; ++c) {
        if (first + c < CHUNKS) {
          vec4 low, high;
          unpack(keys[c], low, high);
          if (p >= position) {
            low = fresh[2 * (first + c)];
            high = fresh[2 * (first + c) + 1];
          }
          [[unroll]] for (uint r = 0; r < R; ++r) {
            score[r] += dot(low, queries[r * D4 + 2 * (first + c)]) +
                        dot(high, queries[r * D4 + 2 * (first + c) + 1]);
          }
        }
      }
      if (first + AHEAD < CHUNKS) {
        [[unroll]] for (uint c = 0; c < AHEAD; ++c) {
          keys[c] = load_k(k_at + min(first + AHEAD + c, CHUNKS - 1));
        }
      }
    }
    if (CACHE == CACHE_I8) {
      const float unit = p >= position ? fresh_scale.x : k_scale[scales + p];
      [[unroll]] for (uint r = 0; r < R; ++r) score[r] *= unit;
    }
    if (SOFTCAP) {
      [[unroll]] for (uint r = 0; r < R; ++r) score[r] = capped(score[r]) * push.cap_log2e;
    }
    if (base > begin) barrier();  // the weights of the block before have been read
    [[unroll]] for (uint r = 0; r < R; ++r) {
      weights[r * L + lane] = p < end ? score[r] : LOWEST;
    }
    barrier();
    float new_top[R];
    [[unroll]] for (uint r = 0; r < R; ++r) new_top[r] = top[r];
    join_tops(new_top);
    [[unroll]] for (uint r = 0; r < R; ++r) {
      const float shrink = exp2(top[r] - new_top[r]);
      top[r] = new_top[r];
      total[r] *= shrink;
      sum[2 * r] *= shrink;
      sum[2 * r + 1] *= shrink;
      weights[r * L + lane] = p < end ? exp2(score[r] - top[r]) : 0.0;
    }
    barrier();

    const uint live = min(end - base, L);
    for (uint first = share; first < live && share < P; first += AHEAD * P) {
      if (first != share) {
        [[unroll]] for (uint i = 0; i < AHEAD; ++i) {
          values[i] = load_v(cache + min(base + first + i * P, newest) * CHUNKS + chunk);
        }
      }
      [[unroll]] for (uint i = 0; i < AHEAD; ++i) {
        const uint at = first + i * P;
        if (at < live) {
          vec4 low, high;
          unpack(values[i], low, high);
          if (base + at >= position) {
            low = fresh[D4 + 2 * chunk];
            high = fresh[D4 + 2 * chunk + 1];
          }
          if (CACHE == CACHE_I8) {
            const float unit = base + at >= position ? fresh_scale.y : v_scale[scales + base + at];
            low *= unit;
            high *= unit;
          }
          [[unroll]] for (uint r = 0; r < R; ++r) {
            const float weight = weights[r * L + at];
            total[r] += weight;
            sum[2 * r] += weight * low;
            sum[2 * r + 1] += weight * high;
          }
        }
      }
    }
  }

  if (end == position + 1 && lane < 2 * CHUNKS) {
    const uint to = cache + position * CHUNKS + lane % CHUNKS;
    const vec4 low = fresh[2 * lane], high = fresh[2 * lane + 1];
    const bool is_key = lane < CHUNKS;
    if (CACHE == CACHE_I8) {
      const uvec2 packed = uvec2(pack_bytes(low), pack_bytes(high));
      if (is_key) {
        k_bytes[to] = packed;
        k_scale[scales + position] = fresh_scale.x;
      } else {
        v_bytes[to] = packed;
        v_scale[scales + position] = fresh_scale.y;
      }
    } else {
      const uvec4 packed = uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw),
                                 packHalf2x16(high.xy), packHalf2x16(high.zw));
      if (is_key) {
        k_cache[to] = packed;
      } else {
        v_cache[to] = packed;
      }
    }
  }
  if (share < P) {
    [[unroll]] for (uint r = 0; r < R; ++r) {
      parts[(r * P + share) * D4 + 2 * chunk] = sum[2 * r];
      parts[(r * P + share) * D4 + 2 * chunk + 1] = sum[2 * r + 1];
      if (chunk == 0) part_totals[r * P + share] = total[r];
    }
  }
  if (lane == 0) {
    [[unroll]] for (uint r = 0; r < R; ++r) tops[r] = top[r];
  }
  barrier();
  for (uint i = lane; i < R * D4; i += L) {
    const uint r = i / D4;
    vec4 value = vec4(0.0);
    float all = 0.0;
    for (uint k = 0; k < P; ++k) {
      value += parts[(r * P + k) * D4 + i % D4];
      all += part_totals[r * P + k];
    }
    const uint head = kv * R + r;
    if (used == 1) {
      result[head * D4 + i % D4] = value / all;
    } else {
      sums[(split * push.heads + head) * D4 + i % D4] = value;
      if (i % D4 == 0) max_sum[split * push.heads + head] = vec2(tops[r], all);
    }
  }
  if (kv == 0 && split == 0) {
    for (uint i = push.heads * D4 + lane; i < push.stride4; i += L) result[i] = vec4(0.0);
  }
  if (used == 1) return;

  memoryBarrierBuffer();
  barrier();
  if (lane == 0) finished = atomicAdd(step[STEP_COUNTERS + kv], 1u) + 1;
  barrier();
  if (finished != used) return;
  memoryBarrierBuffer();
  combine(kv, used);
  if (lane == 0) atomicExchange(step[STEP_COUNTERS + kv], 0u);
}
