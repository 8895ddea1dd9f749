#version 450
// out[n] = inv * sum_k x[k] * norm[k] * (bits(n, k) - offset) * scale[n][k / G]   (+ bias + residual)
//   bits are nibbles and the offset 8, or with GEMV_EIGHT_BITS bytes and 128
//   inv = 1 / sqrt(mean(x^2) + eps) and norm[k] with GEMV_NORM, both 1 without
//   with swiglu: out[i] = silu(row 2i) * row 2i+1
//
// Shapes  one row of x [align_up(K, 32)], weight [N, K], norm [K] (K a multiple of 4), out
//         [align_up(N, 32)]
// Layout  linear.glsl
// A work-item owns QUADS quads of rows and every K_SPLIT-th block of 32 k: four uvec4 loads a block
// and quad, or eight, all of them issued before the first is used, and before anything that is read to find
// out what to do: in a chain of small matrices these waits are what takes the time.
// What the bits are too high is taken off once a block: sum(nibble x) - 8 sum(x). With
// groups of less than a block that and the scale come after every eight k.
// A work-group owns kQuads * QUADS quads and adds the K_SPLIT partial sums of each.
// Lanes next to each other own quads next to each other, so that they read one run of bytes.
#extension GL_GOOGLE_include_directive : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint K_SPLIT = 4u;  // a power of two
// LINEAR_* and GEMV_NORM. Constants, because a wide device fetches the code of every dispatch anew:
// what is jumped over costs it a microsecond.
layout(constant_id = 2) const uint WITH = 0u;
#define LINEAR_FLAGS WITH
#define F32_SCALES ((WITH & GEMV_F32_SCALES) != 0u)
#define EIGHT_BITS ((WITH & GEMV_EIGHT_BITS) != 0u)
#include "linear.glsl"
layout(constant_id = 3) const uint QUADS = 1u;    // of a work-item: kQuads apart
layout(set = 0, binding = 5) readonly buffer Norm { vec4 norm[]; };

shared vec4 part[gl_WorkGroupSize.x];
shared float square_part[gl_WorkGroupSize.x];

const bool kNorm = (WITH & GEMV_NORM) != 0u;
const uint kQuads = gl_WorkGroupSize.x / K_SPLIT;
const bool kSmallGroups = (WITH & GEMV_SMALL_GROUPS) != 0u;
const uint kScales = kSmallGroups ? 4u : 1u;  // of a row, read for a block

// Four k of four rows: byte b of a component is that row's value of k = b.
vec4 four(uvec4 bytes, vec4 x4) {
  return vec4(bytes & 0xffu) * x4.x + vec4((bytes >> 8) & 0xffu) * x4.y +
         vec4((bytes >> 16) & 0xffu) * x4.z + vec4(bytes >> 24) * x4.w;
}

// Adds the K_SPLIT partial sums of every quad: the sum of the work-group's quad `lane` in the lanes
// below kQuads * QUADS, and that of the squares.
vec4 reduce_in_shared(uint lane, vec4 total[QUADS], inout float squares) {
  vec4 mine = vec4(0.0);
  for (uint q = 0u; q < QUADS; ++q) {
    part[lane] = total[q];
    if (q == 0u) square_part[lane] = squares;
    barrier();
    for (uint lanes = gl_WorkGroupSize.x / 2u; lanes >= kQuads; lanes /= 2u) {
      if (lane < lanes) {
        part[lane] += part[lane + lanes];
        if (q == 0u) square_part[lane] += square_part[lane + lanes];
      }
      barrier();
    }
    if (lane / kQuads == q) mine = part[lane % kQuads];
    barrier();
  }
  squares = square_part[0];
  return mine;
}

#ifdef SHUFFLE
// The same for full subgroups of at least kQuads * QUADS lanes: lane i and lane i + kQuads hold
// parts of the same quads.
vec4 reduce_in_subgroups(uint lane, vec4 total[QUADS], inout float squares) {
  for (uint away = kQuads; away < gl_SubgroupSize; away *= 2u) {
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) total[q] += subgroupShuffleXor(total[q], away);
    if (kNorm) squares += subgroupShuffleXor(squares, away);
  }
  const uint width = kQuads * QUADS;
  if (gl_SubgroupInvocationID < kQuads) {
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      part[gl_SubgroupID * width + q * kQuads + gl_SubgroupInvocationID] = total[q];
    }
    if (kNorm) square_part[gl_SubgroupID] = squares;
  }
  barrier();
  vec4 mine = vec4(0.0);
  squares = 0.0;
  if (lane < width) {
    for (uint i = 0u; i < gl_NumSubgroups; ++i) {
      mine += part[i * width + lane];
      if (kNorm) squares += square_part[i];
    }
  }
  return mine;
}
#endif

void main() {
  const uint first = folded_group() * (kQuads * QUADS);
  if (first >= push.quads) return;
  const uint live = step[STEP_TOKEN_COUNT];
  // A constant where it can be: x is then read without waiting for the step buffer.
  const uint row = (WITH & LINEAR_LAST_ROW) != 0u ? max(live, 1u) - 1u : 0u;
  const uint x_at = row * (push.blocks * 8u);

  uint lane = gl_LocalInvocationIndex;
#ifdef SHUFFLE
  const bool shuffles = gl_NumSubgroups * gl_SubgroupSize == gl_WorkGroupSize.x &&
                        kQuads * QUADS <= gl_SubgroupSize;
  if (shuffles) lane = gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID;
#endif
  uint weight_at[QUADS];
  uint scale_at[QUADS];
  vec4 total[QUADS];
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    // Lanes past the end repeat the last quad, so that all of them meet the barriers.
    const uint bound = min(first + q * kQuads + lane % kQuads, push.quads - 1u);
    weight_at[q] = weight_base(bound);
    scale_at[q] = scale_base(bound);
    total[q] = vec4(0.0);
  }
  const uint quad = first + lane;  // that this lane stores
  const bool stores = lane < kQuads * QUADS && quad < push.quads;
  vec4 added = vec4(0.0);
  if (stores) added = residual_of(quad, 0u);

  float squares = 0.0;
  for (uint base = 0u; base < push.blocks; base += K_SPLIT) {
    const uint wanted = base + lane / kQuads;
    const uint block = min(wanted, push.blocks - 1u);
    const float exists = wanted < push.blocks ? 1.0 : 0.0;
    uvec4 bits[EIGHT_WORDS * QUADS];
    uvec4 scale[QUADS * kScales];
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      [[unroll]] for (uint j = 0u; j < EIGHT_WORDS; ++j) {
        bits[q * EIGHT_WORDS + j] = weights_at(weight_at[q] + block * (4u * EIGHT_WORDS) + j * 4u);
      }
      [[unroll]] for (uint s = 0u; s < kScales; ++s) {
        scale[q * kScales + s] =
            scale_words_at(scale_at[q] + ((block * 4u + s) >> push.group_shift) * 4u);
      }
    }
    vec4 xs[8];
    [[unroll]] for (uint j = 0u; j < 8u; ++j) xs[j] = x[x_at + block * 8u + j];
    if (kNorm) {
      vec4 factor[8];
      // Past the last element of norm x is zero and any factor does.
      [[unroll]] for (uint j = 0u; j < 8u; ++j) {
        factor[j] = norm[min(block * 8u + j, push.columns / 4u - 1u)];
      }
      float square = 0.0;
      [[unroll]] for (uint j = 0u; j < 8u; ++j) {
        square += dot(xs[j], xs[j]);
        xs[j] *= factor[j];
      }
      squares += exists * square;
    }
    vec4 x_sum = vec4(0.0);
    vec4 sum[QUADS];
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) sum[q] = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < 4u; ++j) {
      x_sum += xs[2u * j] + xs[2u * j + 1u];
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
        const uint at = (q * 4u + j) * kWords;
        const uvec4 high = EIGHT_BITS ? bits[at + kWords - 1u] : bits[at] >> 4;
        sum[q] += four(bits[at] & kMask, xs[2u * j]) + four(high & kMask, xs[2u * j + 1u]);
      }
      if (!kSmallGroups && j < 3u) continue;
      const float offset = kOffset * dot(x_sum, vec4(1.0));
      x_sum = vec4(0.0);
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
        const uvec4 words = scale[q * kScales + j % kScales];
        total[q] += (sum[q] - offset) * (scales_of(words) * exists);
        sum[q] = vec4(0.0);
      }
    }
    // Only here: the word has come with the first block, and nobody has waited for it.
    if (live == 0u) break;
  }

#ifdef SHUFFLE
  vec4 sum;
  if (shuffles) {
    sum = reduce_in_subgroups(lane, total, squares);
  } else {
    sum = reduce_in_shared(lane, total, squares);
  }
#else
  vec4 sum = reduce_in_shared(lane, total, squares);
#endif
  if (!stores || live == 0u) return;
  if (kNorm) sum *= inversesqrt(squares / float(push.columns) + push.eps);
  store_quad(quad, 0u, sum, added);
}
