#version 450
// out[t][n] = s[t] * sum_k (xq[t][k] - zero[t]) * (nibble(n, k) - 8) * scale[n][k / G]
//   (+ bias[n] + residual[t][n]); with swiglu: out[t][i] = silu(row 2i) * row 2i+1
//
// Shapes  xq, s, zero as quantize_rows.comp writes them; weight [N, K],
//         out [tokens, align_up(N, 32)]
// Layout  linear.glsl. A word of the weight is eight k, and so are two words of xq.
// The order of sums is that of dq8ca.glsl.
//
// A work-item computes TOKENS rows of xq against QUADS quads of weight rows, over all ranges or,
// with SPLIT, over one of them.
// A work-group computes as many quads as it has work-items (a WAYS-th of that with SPLIT) times
// QUADS for TOKENS rows; token tiles are along grid z, weight rows along x and y.
#extension GL_GOOGLE_include_directive : require
#define SCALES_ID 6
#include "dq8ca.glsl"

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint TOKENS = 1u;
layout(constant_id = 2) const uint QUADS = 1u;
layout(constant_id = 3) const uint WAYS = 1u;
layout(constant_id = 4) const uint SPLIT = 1u;        // WAYS, with TOKENS and QUADS 1, or 1
layout(constant_id = 5) const uint GROUP_WORDS = 4u;  // words of a group
layout(set = 0, binding = 1) readonly buffer Packed { uvec2 packed[]; };

shared vec4 part[gl_WorkGroupSize.x];

const uint kLanes = gl_WorkGroupSize.x / SPLIT;
const uint kTile = TOKENS * QUADS;  // sums of a work-item: QUADS of a row, then the next row's
// Words whose weights are loaded before the first is used: a lane that has only one range waits for
// them, one that has a whole tile has no registers to spare.
const uint kBatch = SPLIT > 1u && GROUP_WORDS >= 4u ? 4u : 1u;

#ifdef DOT
#define SUM ivec4
#else
#define SUM vec4
// Four bytes less the zero point.
vec4 centered(uint bytes, int zero) {
  const ivec4 q = ivec4(bytes << 24, bytes << 16, bytes << 8, bytes) >> 24;
  return vec4(q - zero);
}
#endif

uint weight_at[QUADS];  // uvec4 of the next word
uint scales_next[QUADS];
uint x_at[TOKENS];  // the next eight bytes
int zero[TOKENS];
SUM sum[kTile];   // of a group; of sixteen times the products with DOT
SUM less[QUADS];  // of the group's weights (DOT)
vec4 total[kTile];  // of a range

void add_word(uvec4 bits[QUADS]) {
#ifdef DOT
  uvec4 low[QUADS], high[QUADS];
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    low[q] = low_bytes(bits[q]);
    high[q] = high_bytes(bits[q]);
    less[q] += sums_of_bytes(low[q], high[q]);
  }
  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    const uvec2 bytes = packed[x_at[t]++];
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      sum[t * QUADS + q] += dot4(low[q], bytes.x) + dot4(high[q], bytes.y);
    }
  }
#else
  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    const uvec2 bytes = packed[x_at[t]++];
    [[unroll]] for (uint half_word = 0u; half_word < 2u; ++half_word) {
      const vec4 x4 = centered(bytes[half_word], zero[t]);
      const float eights = 8.0 * (x4.x + x4.y + x4.z + x4.w);
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
        const uvec4 n = bits[q] >> (4u * half_word) & 0x0f0f0f0fu;
        sum[t * QUADS + q] += vec4(n & 0xffu) * x4.x + vec4((n >> 8) & 0xffu) * x4.y +
                     vec4((n >> 16) & 0xffu) * x4.z + vec4(n >> 24) * x4.w - eights;
      }
    }
  }
#endif
}

void add_group() {
  for (uint word = 0u; word < GROUP_WORDS; word += kBatch) {
    uvec4 bits[kBatch][QUADS];
    [[unroll]] for (uint b = 0u; b < kBatch; ++b) {
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
        bits[b][q] = weight[weight_at[q]];
        weight_at[q] += 4u;
      }
    }
    [[unroll]] for (uint b = 0u; b < kBatch; ++b) add_word(bits[b]);
  }
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    const vec4 scale = scales_of(scale_words_at(scales_next[q]));
    scales_next[q] += 4u;
    [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
#ifdef DOT
      const vec4 exact = vec4(sum[t * QUADS + q] - zero[t] * less[q]) * 0.0625;
#else
      const vec4 exact = sum[t * QUADS + q];
#endif
      total[t * QUADS + q] = add_scaled(total[t * QUADS + q], exact, scale);
      sum[t * QUADS + q] = SUM(0);
    }
#ifdef DOT
    less[q] = SUM(0);
#endif
  }
}

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const bool last_row = (push.flags & LINEAR_LAST_ROW) != 0u;
  const uint first_row = last_row ? live - 1u : gl_WorkGroupID.z * TOKENS;
  if (first_row >= live) return;
  const uint first_quad = folded_group() * (kLanes * QUADS);
  if (first_quad >= push.quads) return;
  const uint lane = gl_LocalInvocationIndex;

  const uint first_way = SPLIT > 1u ? lane / kLanes : 0u;
  const uint groups = push.k_words / GROUP_WORDS;
  const uint most = (groups + WAYS - 1u) / WAYS;
  uint group = min(first_way * most, groups);
  // Lanes and rows past the end repeat the last one: every lane stays in the loop.
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    const uint quad = min(first_quad + q * kLanes + lane % kLanes, push.quads - 1u);
    weight_at[q] = weight_base(quad) + group * GROUP_WORDS * 4u;
    scales_next[q] = (quad / 4u * groups + group) * 4u + quad % 4u;
    less[q] = SUM(0);
  }
  const uint stride = (push.columns + QUANTIZED_ROW_ALIGN - 1u) / QUANTIZED_ROW_ALIGN;
  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    const uint row = min(first_row + t, live - 1u);
    x_at[t] = row * stride * (QUANTIZED_ROW_ALIGN / 8) + group * GROUP_WORDS;
    zero[t] = int(params[row].y);
  }

  vec4 result_of[kTile];
  [[unroll]] for (uint i = 0u; i < kTile; ++i) result_of[i] = vec4(0.0);
  for (uint way = first_way; way < first_way + WAYS / SPLIT; ++way) {
    [[unroll]] for (uint i = 0u; i < kTile; ++i) {
      total[i] = vec4(0.0);
      sum[i] = SUM(0);
    }
    const uint end = min(group + most, groups);
    for (; group < end; ++group) add_group();
    [[unroll]] for (uint i = 0u; i < kTile; ++i) {
      result_of[i] = add_scaled(result_of[i], total[i], vec4(1.0));
    }
  }
  if (SPLIT > 1u) {
    part[lane] = result_of[0];
    barrier();
    if (lane >= kLanes) return;
    result_of[0] = vec4(0.0);
    for (uint way = 0u; way < SPLIT; ++way) {
      result_of[0] = add_scaled(result_of[0], part[way * kLanes + lane], vec4(1.0));
    }
  }

  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    const uint row = first_row + t;
    if (row >= live) return;
    const vec4 scale = vec4(uintBitsToFloat(params[row].x));
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      const uint quad = first_quad + q * kLanes + lane;
      if (quad >= push.quads) continue;
      const vec4 scaled = add_scaled(vec4(0.0), result_of[t * QUADS + q], scale);
      finish_quad(quad, last_row ? 0u : row, scaled);
    }
  }
}
