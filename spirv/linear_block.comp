#version 450
// out[t][n] = sum_k x[t][k] * (nibble(n, k) - 8) * scale[n][k / G]   (+ bias[n] + residual[t][n])
// with swiglu: out[t][i] = silu(row 2i) * row 2i+1
//
// Shapes  x [tokens, align_up(K, 32)], weight [N, K], out [tokens, align_up(N, 32)]
// Layout  linear.glsl
// A work-group computes BM rows of x against BN rows of weight in KW slices of k at a time, each
// slice by kLx x kLy lanes; a lane has TM quads of rows of x and TN quads of rows of weight. A step
// takes BK k a slice through shared memory: both operands as [k][row / 4], so that a lane reads
// whole quads. The slices' sums are added in shared memory at the end.
#extension GL_GOOGLE_include_directive : require
#define SCALES_ID 0
#include "linear.glsl"

const uint kLx = BN / (4 * TN);  // lanes along rows of weight
const uint kLy = BM / (4 * TM);  // lanes along rows of x
const uint kTile = kLx * kLy;
const uint kLanes = kTile * KW;
layout(local_size_x = BN / (4 * TN) * (BM / (4 * TM)) * KW) in;

// A row of k is the quads of x, then those of weight.
const uint kRow = (BM + BN) / 4u + PAD;
const uint kSlice = BK * kRow;
const uint kBuffer = kSlice * KW;
// Items of a step: 4 k of 4 rows. Those of x come first, so that a subgroup has one kind.
const uint kXAll = BM / 4u * (BK / 4u) * KW;
const uint kWAll = BN / 4u * (BK / 4u) * KW;
const uint kItems = (kXAll + kWAll + kLanes - 1u) / kLanes;
const uint kPool = KW > 1 ? max(kBuffer * STAGES, kTile * TN * 4u * (KW - 1)) : kBuffer * STAGES;

shared vec4 pool[kPool];

// What an item has read: x as [row], weight as its words and scales.
vec4 next[kItems][4];
// Where it reads: four rows of x, or weight, scales and the shift of its nibbles.
uvec4 from[kItems];
vec4 total[TM * 4][TN];

uint item_of(uint i) { return gl_LocalInvocationIndex + i * kLanes; }
bool is_x(uint item) { return item < kXAll; }
bool is_w(uint item) { return (kXAll + kWAll) % kLanes == 0u || item < kXAll + kWAll; }
// The k of an item in its step, its quad and its slice. Items of weight side by side read one run
// of bytes: quads of a tile, then halves of a word.
uint x_k(uint item) { return item % (BK / 4u) * 4u; }
uint x_quad(uint item) { return item / (BK / 4u) % (BM / 4u); }
uint x_slice(uint item) { return item / (BK / 4u * (BM / 4u)); }
uint w_quad(uint item) { return item / BK % (BN / 16u) * 4u + item % 4u; }
uint w_k(uint item) { return item / 4u % (BK / 4u) * 4u; }
uint w_slice(uint item) { return item / (BK / 4u * (BN / 4u)); }

void locate(uint first_token, uint first_quad) {
  [[unroll]] for (uint i = 0u; i < kItems; ++i) {
    const uint item = item_of(i);
    if (is_x(item)) {
      const uint row = first_token + x_quad(item) * 4u;
      const uvec4 rows = min(uvec4(row, row + 1u, row + 2u, row + 3u), uvec4(push.tokens - 1u));
      from[i] = rows * (push.blocks * 8u);
    } else {
      const uint quad = min(first_quad + w_quad(item - kXAll), push.quads - 1u);
      from[i] = uvec4(weight_base(quad), scale_base(quad), 0u, 0u);
    }
  }
}

void fetch(uint first_k) {
  [[unroll]] for (uint i = 0u; i < kItems; ++i) {
    uint item = item_of(i);
    if (is_x(item)) {
      const uint k4 = (first_k + x_slice(item) * BK + x_k(item)) / 4u;
      const bool live = KW == 1 || k4 < push.blocks * 8u;
      [[unroll]] for (uint t = 0u; t < 4u; ++t) {
        next[i][t] = live ? x[from[i][t] + k4] : vec4(0.0);
      }
    } else if (is_w(item)) {
      item -= kXAll;
      const uint k = min(first_k + w_slice(item) * BK + w_k(item), push.blocks * 32u - 4u);
      next[i][0] = uintBitsToFloat(weight[from[i].x + k / 8u * 4u] >> (k & 4u));
      next[i][1] =
          uintBitsToFloat(scale_words_at(from[i].y + (k >> (3u + push.group_shift)) * 4u));
    }
  }
}

void stage(uint base) {
  [[unroll]] for (uint i = 0u; i < kItems; ++i) {
    uint item = item_of(i);
    if (is_x(item)) {
      const uint at = base + x_slice(item) * kSlice + x_k(item) * kRow + x_quad(item);
      const mat4 turned = transpose(mat4(next[i][0], next[i][1], next[i][2], next[i][3]));
      [[unroll]] for (uint k = 0u; k < 4u; ++k) pool[at + k * kRow] = turned[k];
    } else if (is_w(item)) {
      item -= kXAll;
      const uint at =
          base + w_slice(item) * kSlice + w_k(item) * kRow + BM / 4u + w_quad(item);
      const vec4 scale = scales_of(floatBitsToUint(next[i][1]));
      const uvec4 bits = floatBitsToUint(next[i][0]);
      [[unroll]] for (uint k = 0u; k < 4u; ++k) {
        // Exact with an f16 scale: four bits times eleven.
        pool[at + k * kRow] = fma(vec4((bits >> (8u * k)) & 0xfu), scale, -8.0 * scale);
      }
    }
  }
}

void multiply(uint x_at, uint w_at) {
  // Unrolled it is half again as fast on a wide GPU, and twice as long.
#ifdef UNROLL
  [[unroll]] for (uint k = 0u; k < BK; ++k) {
#else
  for (uint k = 0u; k < BK; ++k) {
#endif
    vec4 a[TM];
    vec4 b[TN];
    [[unroll]] for (uint m = 0u; m < TM; ++m) a[m] = pool[x_at + k * kRow + m * kLy];
    [[unroll]] for (uint n = 0u; n < TN; ++n) b[n] = pool[w_at + k * kRow + n * kLx];
    [[unroll]] for (uint m = 0u; m < TM; ++m) {
      [[unroll]] for (uint n = 0u; n < TN; ++n) {
        [[unroll]] for (uint t = 0u; t < 4u; ++t) {
          total[m * 4u + t][n] = fma(vec4(a[m][t]), b[n], total[m * 4u + t][n]);
        }
      }
    }
  }
}

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const uint first_token = gl_WorkGroupID.z * BM;
  const uint first_quad = folded_group() * (BN / 4u);
  if (first_token >= live || first_quad >= push.quads) return;
  if (live > push.tokens || live <= push.flags >> LINEAR_FEW) return;

  const uint slice = gl_LocalInvocationIndex / kTile;
  const uint lane = gl_LocalInvocationIndex % kTile;
  // Blocks of 8 x 4 lanes: 32 of them read few different quads.
  const uint block = lane / 32u;
  const uint lx = block % (kLx / 8u) * 8u + lane % 8u;
  const uint ly = block / (kLx / 8u) * 4u + lane / 8u % 4u;
  [[unroll]] for (uint t = 0u; t < TM * 4u; ++t) {
    [[unroll]] for (uint n = 0u; n < TN; ++n) total[t][n] = vec4(0.0);
  }
  const uint columns = push.blocks * 32u;
  locate(first_token, first_quad);
  fetch(0u);
  stage(0u);
  barrier();
  uint base = 0u;
  for (uint k = BK * KW;; k += BK * KW) {
    const bool more = k < columns;
    if (more) fetch(k);
    multiply(base + slice * kSlice + ly, base + slice * kSlice + BM / 4u + lx);
    if (STAGES == 1) barrier();
    if (!more) break;
    if (STAGES == 2) base = kBuffer - base;
    stage(base);
    barrier();
  }
  if (STAGES == 2 && KW > 1) barrier();

  [[unroll]] for (uint m = 0u; m < TM; ++m) {
    if (KW > 1) {
      if (slice != 0u) {
        [[unroll]] for (uint i = 0u; i < 4u * TN; ++i) {
          pool[((slice - 1u) * 4u * TN + i) * kTile + lane] = total[m * 4u + i / TN][i % TN];
        }
      }
      barrier();
      if (slice == 0u) {
        [[unroll]] for (uint s = 0u; s + 1u < KW; ++s) {
          [[unroll]] for (uint i = 0u; i < 4u * TN; ++i) {
            total[m * 4u + i / TN][i % TN] += pool[(s * 4u * TN + i) * kTile + lane];
          }
        }
      }
    }
    if (slice == 0u) {
      [[unroll]] for (uint i = 0u; i < 4u * TN; ++i) {
        const uint t = first_token + (ly + m * kLy) * 4u + i / TN;
        const uint quad = first_quad + lx + i % TN * kLx;
        if (t < live && quad < push.quads) finish_quad(quad, t, total[m * 4u + i / TN][i % TN]);
      }
    }
    if (KW > 1) barrier();
  }
}
