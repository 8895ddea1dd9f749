#version 450
// out[t][n] = sum_k x[t][k] * (bits(n, k) - offset) * scale[n][k / G]   (+ bias[n] + residual[t][n])
//   bits are nibbles and the offset 8, or with LINEAR_EIGHT_BITS bytes and 128
// with swiglu: out[t][i] = silu(row 2i) * row 2i+1
//
// Shapes  x [tokens, align_up(K, 32)], weight [N, K], out [tokens, align_up(N, 32)]
// Layout  linear.glsl
// A work-item computes TOKENS rows of x against QUADS quads of weight rows, over all of
// K: no reduction and no shared memory, and the addresses of x are the same in every lane.
// A work-group computes local_size * QUADS quads of weight rows for TOKENS rows of x; token
// tiles are along grid z, weight rows along x and y.
#extension GL_GOOGLE_include_directive : require
#include "linear.push.h"
layout(constant_id = 1) const uint FORMAT = LINEAR_F16_SCALES;
#define F32_SCALES ((FORMAT & LINEAR_F32_SCALES) != 0u)
#define EIGHT_BITS ((FORMAT & LINEAR_EIGHT_BITS) != 0u)
#include "linear.glsl"

layout(local_size_x = 64, local_size_x_id = 0) in;

// sum[t][q] gathers one group's bits(n, k) * x[t][k]; x_sum[t] the same group's x[t][k].
vec4 sum[TOKENS][QUADS];
vec4 x_sum[TOKENS];

// Adds eight k: number `word` of the rows.
void add_word(uint word, uint x_at[TOKENS], uint at[QUADS]) {
  vec4 low[QUADS][4];
  vec4 high[QUADS][4];
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    const uvec4 bits = weights_at(at[q]);
    const uvec4 l = bits & kMask;
    const uvec4 h = (EIGHT_BITS ? weights_at(at[q] + 4u) : bits >> 4) & kMask;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      low[q][i] = vec4((l >> (8u * i)) & 0xffu);
      high[q][i] = vec4((h >> (8u * i)) & 0xffu);
    }
  }
  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    const vec4 x_low = x[x_at[t] + word * 2u];
    const vec4 x_high = x[x_at[t] + word * 2u + 1u];
    x_sum[t] += x_low + x_high;
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      sum[t][q] += low[q][0] * x_low.x + low[q][1] * x_low.y + low[q][2] * x_low.z +
                   low[q][3] * x_low.w;
      sum[t][q] += high[q][0] * x_high.x + high[q][1] * x_high.y + high[q][2] * x_high.z +
                   high[q][3] * x_high.w;
    }
  }
}

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const bool last_row = (push.flags & LINEAR_LAST_ROW) != 0u;
  const uint first_token = last_row ? live - 1u : gl_WorkGroupID.z * TOKENS;
  if (first_token >= live) return;
  const uint first_quad = folded_group() * (gl_WorkGroupSize.x * QUADS) + gl_LocalInvocationIndex;
  if (folded_group() * (gl_WorkGroupSize.x * QUADS) >= push.quads) return;

  uint at[QUADS];
  uint scale_at[QUADS];
  uint x_at[TOKENS];
  vec4 total[TOKENS][QUADS];
  // Lanes and tokens past the end repeat the last one: every lane stays in the loop.
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    const uint quad = min(first_quad + q * gl_WorkGroupSize.x, push.quads - 1u);
    at[q] = weight_base(quad);
    scale_at[q] = scale_base(quad);
  }
  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    x_at[t] = min(first_token + t, push.tokens - 1u) * (push.blocks * 8u);
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) total[t][q] = vec4(0.0);
  }

  const uint words = push.blocks * 4u;
  for (uint word = 0u; word < words;) {
    [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
      x_sum[t] = vec4(0.0);
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) sum[t][q] = vec4(0.0);
    }
    // Not unrolled: eight k of four rows are a whole register tile.
    const uint end = min(word + (1u << push.group_shift), words);
    for (; word < end; ++word) {
      add_word(word, x_at, at);
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) at[q] += EIGHT_WORDS;
    }
    vec4 scale[QUADS];
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      scale[q] = scales_of(scale_words_at(scale_at[q]));
      scale_at[q] += 4u;
    }
    [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
      const float offset = kOffset * dot(x_sum[t], vec4(1.0));
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) total[t][q] += (sum[t][q] - offset) * scale[q];
    }
  }

  [[unroll]] for (uint t = 0u; t < TOKENS; ++t) {
    if (first_token + t >= live) return;
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      const uint quad = first_quad + q * gl_WorkGroupSize.x;
      if (quad < push.quads) finish_quad(quad, last_row ? 0u : first_token + t, total[t][q]);
    }
  }
}
