#version 450
// out[t][n] = sum_k x[t][k] * (nibble(n, k) - 8) * scale[n][k / G]   (+ bias[n] + residual[t][n])
// with swiglu: out[t][i] = silu(row 2i) * row 2i+1
//
// Shapes  x [tokens, align_up(K, 32)], weight [N, K], out [tokens, align_up(N, 32)]
// Layout  linear.glsl
// A work-group computes BM rows of x against BN rows of weight in matrices of a subgroup: products of
// f16, sums in f32. It has WM x WN subgroups a slice of k and WK slices; a step takes 32 k a slice.
// The slices' sums are added in shared memory at the end. Matrices are M x K times K x N, what the
// device has (M and N 8 or 16, K 8, 16 or 32), and subgroups of any size, all of them full.
// x is rounded to f16 (and clamped to it) on its way into shared memory, an f32 scale and the
// weight's exact small integers times their scale likewise. Inside eight k both go in the order 0 2 1 3 4 6 5 7, which
// is what masks take out of a word of nibbles; a sum does not mind.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#ifndef EMULATED
#extension GL_NV_cooperative_matrix : require
#endif
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define SCALES_ID 0
#include "linear.glsl"

layout(local_size_x = 32 * WM * WN * WK, local_size_x_id = 1) in;
layout(constant_id = 2) const uint M = 16;
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;
const uint kLanes = gl_WorkGroupSize.x;

// A row of 32 halves and 16 bytes that keep rows in different banks.
const uint kRow = 5u;
const uint kSlice = (BM + BN) * kRow;
const uint kBuffer = kSlice * WK;
const uint kXAll = BM * 4u * WK;  // items of a step: eight k of a row of x
const uint kWAll = BN * WK;       // eight k of four rows of weight
const uint kXItems = (kXAll + kLanes - 1u) / kLanes;
const uint kWItems = (kWAll + kLanes - 1u) / kLanes;
const uint kMs = BM / WM / M;
const uint kNs = BN / WN / N;
// The strip of sums that all subgroups write at once: M rows of x of each.
const uint kStripRow = BN / 4u + 1u;
const uint kStrip = M * WM * kStripRow;
const uint kPool = max(kBuffer * STAGES, 16u * WM * kStripRow * WK);  // M is at most 16

shared uvec4 pool[kPool];
#ifdef EMULATED
#include "matrix_emulated.glsl"
#else
#include "matrix_nv.glsl"
#endif

uint pack_clamped(float a, float b) {
  return packFloat2x16(clamp(f16vec2(a, b), f16vec2(-65504.0), f16vec2(65504.0)));
}

// The two nibbles at the bottom of both halves of a word, times scale.
uint weights_of(uint word, f16vec2 scale) {
  // 0x6400 is 1024 in f16, whose last bit counts 1.
  const f16vec2 value = unpackFloat2x16((word & 0x000f000fu) | 0x64006400u);
  return packFloat2x16((value - f16vec2(1032.0)) * scale);
}

uvec4 eight_weights(uint word, float16_t scale) {
  const f16vec2 both = f16vec2(scale);
  return uvec4(weights_of(word, both), weights_of(word >> 8, both), weights_of(word >> 4, both),
               weights_of(word >> 12, both));
}

bool has(uint item, uint all) { return all % kLanes == 0u || item < all; }

vec4 x_next[kXItems][2];
uvec4 w_next[kWItems];
uvec4 scale_next[kWItems];
uint x_row[kXItems];
uint w_quad[kWItems];
uint w_scale[kWItems];

// Which part of its block of 16 x 32 weights an item is: quad and eight k. The order keeps both the
// loads of 16 lanes and the stores of 8 in one run of bytes.
uint quad_of(uint item) { return (item & 1u) | ((item >> 2) & 2u); }
uint eight_of(uint item) { return (item >> 1) & 3u; }

void fetch(uint first_block) {
  [[unroll]] for (uint i = 0u; i < kXItems; ++i) {
    const uint item = gl_LocalInvocationIndex + i * kLanes;
    if (!has(item, kXAll)) break;
    const uint block = first_block + item / (BM * 4u);
    const uint at = x_row[i] + min(block, push.blocks - 1u) * 8u;
    x_next[i][0] = x[at];
    x_next[i][1] = x[at + 1u];
    if (WK > 1 && block >= push.blocks) {
      x_next[i][0] = vec4(0.0);
      x_next[i][1] = vec4(0.0);
    }
  }
  [[unroll]] for (uint i = 0u; i < kWItems; ++i) {
    const uint item = gl_LocalInvocationIndex + i * kLanes;
    if (!has(item, kWAll)) break;
    const uint block = min(first_block + item / BN, push.blocks - 1u);
    w_next[i] = weight[w_quad[i] + block * 16u];
    const uint group = (block * 4u + eight_of(item)) >> push.group_shift;
    scale_next[i] = scale_words_at(w_scale[i] + group * 4u);
  }
}

void stage(uint base) {
  [[unroll]] for (uint i = 0u; i < kXItems; ++i) {
    const uint item = gl_LocalInvocationIndex + i * kLanes;
    if (!has(item, kXAll)) break;
    const uint at = base + item / (BM * 4u) * kSlice + item / 4u % BM * kRow + item % 4u;
    const vec4 a = x_next[i][0];
    const vec4 b = x_next[i][1];
    pool[at] = uvec4(pack_clamped(a.x, a.z), pack_clamped(a.y, a.w), pack_clamped(b.x, b.z),
                     pack_clamped(b.y, b.w));
  }
  [[unroll]] for (uint i = 0u; i < kWItems; ++i) {
    const uint item = gl_LocalInvocationIndex + i * kLanes;
    if (!has(item, kWAll)) break;
    const uint row = item % BN / 16u * 16u + quad_of(item) * 4u;
    const uint at = base + item / BN * kSlice + (BM + row) * kRow + eight_of(item);
    f16vec2 low = unpackFloat2x16(scale_next[i].x);
    f16vec2 high = unpackFloat2x16(scale_next[i].y);
    if (F32_SCALES) {
      const vec4 scale = uintBitsToFloat(scale_next[i]);
      low = unpackFloat2x16(pack_clamped(scale.x, scale.y));
      high = unpackFloat2x16(pack_clamped(scale.z, scale.w));
    }
    pool[at] = eight_weights(w_next[i].x, low.x);
    pool[at + kRow] = eight_weights(w_next[i].y, low.y);
    pool[at + 2u * kRow] = eight_weights(w_next[i].z, high.x);
    pool[at + 3u * kRow] = eight_weights(w_next[i].w, high.y);
  }
}

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const uint first_token = gl_WorkGroupID.z * BM;
  const uint first_quad = folded_group() * (BN / 4u);
  if (first_token >= live || first_quad >= push.quads) return;
  if (live > push.tokens || live <= push.flags >> LINEAR_FEW) return;

  // Rows and tokens past the end repeat the last one.
  [[unroll]] for (uint i = 0u; i < kXItems; ++i) {
    const uint item = gl_LocalInvocationIndex + i * kLanes;
    x_row[i] = min(first_token + item / 4u % BM, push.tokens - 1u) * (push.blocks * 8u) +
               item % 4u * 2u;
  }
  [[unroll]] for (uint i = 0u; i < kWItems; ++i) {
    const uint item = gl_LocalInvocationIndex + i * kLanes;
    const uint quad = min(first_quad + item % BN / 16u * 4u + quad_of(item), push.quads - 1u);
    w_quad[i] = weight_base(quad) + eight_of(item) * 4u;
    w_scale[i] = scale_base(quad);
  }

  const uint slice = gl_SubgroupID / (WM * WN);
  const uint sub_m = gl_SubgroupID % (WM * WN) / WN;
  const uint sub_n = gl_SubgroupID % WN;
  SUM sum[kMs][kNs];
  [[unroll]] for (uint m = 0u; m < kMs; ++m) {
    [[unroll]] for (uint n = 0u; n < kNs; ++n) {
      set_zero(sum[m][n]);
    }
  }

  const uint steps = (push.blocks + WK - 1u) / WK;
  fetch(0u);
  stage(0u);
  barrier();
  uint base = 0u;
  for (uint s = 0u; s < steps; ++s) {
    const bool more = s + 1u < steps;
    if (more) fetch((s + 1u) * WK);
    const uint x_at = base + slice * kSlice + sub_m * (BM / WM) * kRow;
    const uint w_at = base + slice * kSlice + (BM + sub_n * (BN / WN)) * kRow;
    [[unroll]] for (uint k = 0u; k < 4u; k += K / 8u) {
      RIGHT b[kNs];
      [[unroll]] for (uint n = 0u; n < kNs; ++n) {
        load_right(b[n], w_at + n * N * kRow + k, kRow);
      }
      [[unroll]] for (uint m = 0u; m < kMs; ++m) {
        LEFT a;
        load_left(a, x_at + m * M * kRow + k, kRow);
        [[unroll]] for (uint n = 0u; n < kNs; ++n) multiply_add(a, b[n], sum[m][n]);
      }
    }
    if (STAGES == 1) barrier();
    if (STAGES == 2) base = kBuffer - base;
    if (more) stage(base);
    barrier();
  }

  [[unroll]] for (uint m = 0u; m < kMs; ++m) {
    const uint at = slice * kStrip + sub_m * M * kStripRow + sub_n * (BN / WN / 4u);
    [[unroll]] for (uint n = 0u; n < kNs; ++n) {
      store_sum(sum[m][n], at + n * (N / 4u), kStripRow);
    }
    barrier();
    for (uint item = gl_LocalInvocationIndex; item < M / 4u * WM * BN; item += kLanes) {
      const uint row = item / (BN / 4u);
      const uint quad = item % (BN / 4u);
      const uint t = first_token + row / M * (BM / WM) + m * M + row % M;
      vec4 total = uintBitsToFloat(pool[row * kStripRow + quad]);
      [[unroll]] for (uint i = 1u; i < WK; ++i) {
        total += uintBitsToFloat(pool[i * kStrip + row * kStripRow + quad]);
      }
      if (t < live && first_quad + quad < push.quads) finish_quad(first_quad + quad, t, total);
    }
    barrier();
  }
}
