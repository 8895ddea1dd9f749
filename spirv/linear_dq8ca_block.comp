#version 450
// linear_dq8ca.comp for many rows on wide devices: the same operands, the same bits.
//
// Shapes, Layout, order of sums: there.
// A work-group computes 32 rows of xq against 64 rows of weight, a lane 4 against 4. A step takes 32 k
// through shared memory: both operands as [4 k][row], so that a lane reads whole quads of words, and
// the sums of the weights. While a step is multiplied, the next one is read from memory. Larger
// blocks gained nothing on an H100.
#extension GL_GOOGLE_include_directive : require
#define SCALES_ID 2
#include "dq8ca.glsl"

const uint kRows = 32u;   // of xq
const uint kQuads = 16u;  // of rows of weight
const uint kLanes = 128u;
layout(local_size_x = 128) in;
layout(constant_id = 0) const uint WAYS = 1u;
layout(constant_id = 1) const uint GROUP_WORDS = 4u;  // words of a group, of eight k each
layout(set = 0, binding = 1) readonly buffer Packed { uvec4 packed[]; };

const uint kWords = 4u;  // of a step
// Two rows of quads more than there are keep the stores of different k in different banks.
const uint kRow = kRows / 4u + kQuads + 2u;
const uint kBuffer = 2u * kWords * kRow;
const uint kParts = GROUP_WORDS < kWords ? kWords / GROUP_WORDS : 1u;  // groups of a step
const uint kPartWords = kWords / kParts;

// A row of 4 k is the quads of rows of xq, then those of weight. Two steps.
shared uvec4 pool[2u * kBuffer];
// Sums of a step's weights, [part][quad]: those that are read, those that are being added up and
// those that are being zeroed.
shared ivec4 weight_sums[3u * kWords * kQuads];

// A lane reads 16 k of a row of xq or a word of four rows of weight, for the next step.
const uint kXLanes = kRows * 2u;
uvec4 next;
uint from;  // where the first step's lies

ivec4 sum[4];        // of a group, of sixteen times the products: [row of xq]
vec4 total[4];       // of a range
vec4 result_of[4];   // of the ranges that are complete

bool reads_x() { return gl_LocalInvocationIndex < kXLanes; }
uint x_row() { return gl_LocalInvocationIndex % kRows; }
uint x_half() { return gl_LocalInvocationIndex / kRows; }
// Lanes side by side read one run of bytes: the quads of a tile, then its words.
uint w_quad() { return (gl_LocalInvocationIndex - kXLanes) / 16u * 4u + gl_LocalInvocationIndex % 4u; }
uint w_word() { return gl_LocalInvocationIndex / 4u % 4u; }

void locate(uint first_row, uint last_row, uint first_quad) {
  const uint stride = (push.columns + QUANTIZED_ROW_ALIGN - 1u) / QUANTIZED_ROW_ALIGN *
                      (QUANTIZED_ROW_ALIGN / 16);
  if (reads_x()) {
    from = min(first_row + x_row(), last_row) * stride + x_half();
  } else {
    from = weight_base(min(first_quad + w_quad(), push.quads - 1u)) + w_word() * 4u;
  }
}

void fetch(uint word) {
  if (reads_x()) {
    next = packed[from + word / 2u];
  } else {
    next = weight[from + word * 4u];
  }
}

void stage(uint base, uint sums) {
  if (reads_x()) {
    const uint row = x_row();
    const uint at = base + x_half() * 4u * kRow + row / 4u;
    [[unroll]] for (uint k = 0u; k < 4u; ++k) pool[at + k * kRow][row % 4u] = next[k];
  } else {
    const uint quad = w_quad(), word = w_word();
    const uint at = base + word * 2u * kRow + kRows / 4u + quad;
    const uvec4 low = low_bytes(next), high = high_bytes(next);
    pool[at] = low;
    pool[at + kRow] = high;
    const ivec4 words_sum = sums_of_bytes(low, high);
    const uint to = sums + word / kPartWords * kQuads + quad;
    [[unroll]] for (uint r = 0u; r < 4u; ++r) atomicAdd(weight_sums[to][r], words_sum[r]);
  }
}

void multiply(uint x_at, uint w_at) {
  const uvec4 a = pool[x_at];
  const uvec4 b = pool[w_at];
  [[unroll]] for (uint t = 0u; t < 4u; ++t) sum[t] += dot4(b, a[t]);
}

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const uint first_row = gl_WorkGroupID.z * kRows;
  const uint first_quad = folded_group() * kQuads;
  if (first_row >= live || first_quad >= push.quads) return;

  // Blocks of 8 x 4 lanes: 32 of them read few different quads.
  const uint lane = gl_LocalInvocationIndex;
  const uint block = lane / 32u;
  const uint lx = block % 2u * 8u + lane % 8u;
  const uint ly = block / 2u * 4u + lane / 8u % 4u;
  int minus_zero[4];
  [[unroll]] for (uint t = 0u; t < 4u; ++t) {
    minus_zero[t] = -int(params[min(first_row + ly * 4u + t, live - 1u)].y);
    total[t] = vec4(0.0);
    result_of[t] = vec4(0.0);
  }
  const uint scale_at = scale_base(min(first_quad + lx, push.quads - 1u));
  const uint groups = push.k_words / GROUP_WORDS;
  const uint most = (groups + WAYS - 1u) / WAYS;
  uint left = most;  // groups of the range

  const uint kSums = kWords * kQuads;
  for (uint i = lane; i < 3u * kSums; i += kLanes) weight_sums[i] = ivec4(0);
  barrier();
  locate(first_row, live - 1u, first_quad);
  fetch(0u);
  stage(0u, 0u);
  barrier();
  uint base = 0u;
  uint third = 0u;
  for (uint word = 0u;; word += kWords) {
    const bool more = word + kWords < push.k_words;
    if (more) fetch(word + kWords);
    [[unroll]] for (uint part = 0u; part < kParts; ++part) {
      const uint group = word / GROUP_WORDS + part;
      const vec4 scale = scales_of(scale_words_at(scale_at + group * 4u)) * 0.0625;
      const ivec4 less = weight_sums[third * kSums + part * kQuads + lx];
      if (kParts > 1u || word % GROUP_WORDS == 0u) {
        [[unroll]] for (uint t = 0u; t < 4u; ++t) sum[t] = ivec4(0);
      }
      [[unroll]] for (uint k = 0u; k < 2u * kPartWords; ++k) {
        const uint row = base + (part * 2u * kPartWords + k) * kRow;
        multiply(row + ly, row + kRows / 4u + lx);
      }
      [[unroll]] for (uint t = 0u; t < 4u; ++t) sum[t] += minus_zero[t] * less;
      if (kParts == 1u && (word + kWords) % GROUP_WORDS != 0u) continue;
      [[unroll]] for (uint t = 0u; t < 4u; ++t) {
        total[t] = add_scaled(total[t], vec4(sum[t]), scale);
      }
      if (--left == 0u) {
        left = most;
        [[unroll]] for (uint t = 0u; t < 4u; ++t) {
          result_of[t] = add_scaled(result_of[t], total[t], vec4(1.0));
          total[t] = vec4(0.0);
        }
      }
    }
    if (!more) break;
    const uint idle = third == 0u ? 2u : third - 1u;
    if (lane < kSums) weight_sums[idle * kSums + lane] = ivec4(0);
    base = kBuffer - base;
    third = third == 2u ? 0u : third + 1u;
    stage(base, third * kSums);
    barrier();
  }

  const uint quad = first_quad + lx;
  if (quad >= push.quads) return;
  [[unroll]] for (uint t = 0u; t < 4u; ++t) {
    const uint row = first_row + ly * 4u + t;
    if (row >= live) return;
    const vec4 scale = vec4(uintBitsToFloat(params[row].x));
    const vec4 sums = add_scaled(result_of[t], total[t], vec4(1.0));
    finish_quad(quad, row, add_scaled(vec4(0.0), sums, scale));
  }
}
