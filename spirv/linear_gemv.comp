#version 450
// out[n] = inv * sum_k x[k] * norm[k] * (nibble(n, k) - 8) * scale[n][k / G]   (+ bias + residual)
//   inv = 1 / sqrt(mean(x^2) + eps) and norm[k] with NORM, both 1 without
//   with swiglu: out[i] = silu(row 2i) * row 2i+1
//
// Shapes  one row of x [align_up(K, 32)], weight [N, K], norm [K], out [align_up(N, 32)]
// Layout  linear.glsl
// A work-item owns one quad of rows and every K_SPLIT-th block of 32 k: four uvec4 loads a block.
// The eight that the nibbles are too high is taken off once a block: sum(nibble x) - 8 sum(x).
// A work-group owns local_size / K_SPLIT quads and adds the K_SPLIT partial sums of each.
// Lanes next to each other own quads next to each other, so that they read one run of bytes.
#extension GL_GOOGLE_include_directive : require
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#include "linear.glsl"

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint K_SPLIT = 4u;  // a power of two
layout(constant_id = 2) const uint NORM = 0u;
layout(set = 0, binding = 5) readonly buffer Norm { float norm[]; };

shared vec4 part[gl_WorkGroupSize.x];
shared float square_part[gl_WorkGroupSize.x];

const uint kQuads = gl_WorkGroupSize.x / K_SPLIT;

vec4 norm_at(uint k) {
  // norm has exactly K elements; past them x is zero and any factor does.
  const uint last = push.columns - 1u;
  return vec4(norm[min(k, last)], norm[min(k + 1u, last)], norm[min(k + 2u, last)],
              norm[min(k + 3u, last)]);
}

// Four k of four rows: byte b of a component is that row's nibble of k = b.
vec4 four(uvec4 bytes, vec4 x4) {
  return vec4(bytes & 0xffu) * x4.x + vec4((bytes >> 8) & 0xffu) * x4.y +
         vec4((bytes >> 16) & 0xffu) * x4.z + vec4(bytes >> 24) * x4.w;
}

// Adds the K_SPLIT partial sums of every quad into the lanes below kQuads.
void reduce_in_shared(uint lane, inout vec4 total, inout float squares) {
  part[lane] = total;
  square_part[lane] = squares;
  barrier();
  for (uint lanes = gl_WorkGroupSize.x / 2u; lanes >= kQuads; lanes /= 2u) {
    if (lane < lanes) {
      part[lane] += part[lane + lanes];
      square_part[lane] += square_part[lane + lanes];
    }
    barrier();
  }
  total = part[lane];
  squares = square_part[lane];
}

#ifdef SUBGROUP
// The same without a tree: each subgroup, whichever lanes it has, adds up its part of every quad.
void reduce_in_subgroups(uint lane, inout vec4 total, inout float squares) {
  for (uint quad = 0u; quad < kQuads; ++quad) {
    const vec4 sum = subgroupAdd(lane % kQuads == quad ? total : vec4(0.0));
    if (subgroupElect()) part[gl_SubgroupID * kQuads + quad] = sum;
  }
  if (NORM != 0u) {
    const float sum = subgroupAdd(lane % kQuads == 0u ? squares : 0.0);
    if (subgroupElect()) square_part[gl_SubgroupID] = sum;
  }
  barrier();
  if (lane >= kQuads) return;
  total = part[lane];
  squares = square_part[0];
  for (uint i = 1u; i < gl_NumSubgroups; ++i) {
    total += part[i * kQuads + lane];
    squares += square_part[i];
  }
}
#endif

void main() {
  const uint live = step[STEP_TOKEN_COUNT];
  const uint row = (push.flags & LINEAR_LAST_ROW) != 0u ? live - 1u : 0u;
  if (live == 0u || folded_group() * kQuads >= push.quads) return;

  const uint lane = gl_LocalInvocationIndex;
  const uint quad = folded_group() * kQuads + lane % kQuads;
  // Lanes past the end repeat the last quad, so that all of them meet the barriers.
  const uint bound = min(quad, push.quads - 1u);
  const uint weight_at = weight_base(bound);
  const uint scale_at = scale_base(bound);
  const uint x_at = row * (push.blocks * 8u);

  vec4 total = vec4(0.0);
  float squares = 0.0;
  for (uint block = lane / kQuads; block < push.blocks; block += K_SPLIT) {
    uvec4 bits[4];
    [[unroll]] for (uint j = 0u; j < 4u; ++j) bits[j] = weight[weight_at + block * 16u + j * 4u];
    const vec4 scale = scales_at(scale_at + block / push.group_blocks * 4u);
    vec4 sum = vec4(0.0);
    vec4 x_sum = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < 4u; ++j) {
      vec4 low = x[x_at + block * 8u + j * 2u];
      vec4 high = x[x_at + block * 8u + j * 2u + 1u];
      if (NORM != 0u) {
        squares += dot(low, low) + dot(high, high);
        low *= norm_at(block * 32u + j * 8u);
        high *= norm_at(block * 32u + j * 8u + 4u);
      }
      x_sum += low + high;
      sum += four(bits[j] & 0x0f0f0f0fu, low) + four((bits[j] >> 4) & 0x0f0f0f0fu, high);
    }
    total += (sum - 8.0 * dot(x_sum, vec4(1.0))) * scale;
  }

#ifdef SUBGROUP
  if (gl_NumSubgroups <= K_SPLIT) {
    reduce_in_subgroups(lane, total, squares);
  } else {
    reduce_in_shared(lane, total, squares);
  }
#else
  reduce_in_shared(lane, total, squares);
#endif
  if (lane >= kQuads || quad >= push.quads) return;
  if (NORM != 0u) total *= inversesqrt(squares / float(push.columns) + push.eps);
  finish_quad(quad, 0u, total);
}
