// partial[w] = (order key, index) of the largest logit in slice w of one row
//
// Shapes      logits [rows][4 * stride4]; partial [slices] pairs of words. The row is that of the
//             last live token, or 0 where there is only one.
// Ties        the lowest index; NaN never wins against a number. A slice of NaNs gives its first
//             index.
// Work-item   every L-th vec4 of the slice.
// Work-group  one slice; the winners meet in shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "argmax.push.h"

layout(local_size_x = 128, local_size_x_id = 0) in;  // a power of two, at most 128
// After the local size, which it uses.
#include "argmax_pair.glsl"

layout(set = 0, binding = 1) readonly buffer Logits { vec4 logits[]; };
layout(set = 0, binding = 2) writeonly buffer Partial { uint partial[]; };
layout(push_constant) uniform Push { ArgmaxPush push; };

void main() {
  const uint slice = folded_group();
  const uint live = step[STEP_TOKEN_COUNT];
  if (slice >= push.slices || live == 0u) return;
  const uint row = push.all_rows != 0u ? live - 1u : 0u;
  const uint end = min((slice + 1u) * push.slice4, (push.vocab + 3u) / 4u);

  uvec2 best = uvec2(0u, 0xffffffffu);
  for (uint i = slice * push.slice4 + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
    const vec4 four = logits[row * push.stride4 + i];
    [[unroll]] for (uint j = 0u; j < 4u; ++j) {
      const uvec2 pair = uvec2(order_key(four[j]), 4u * i + j);
      if (pair.y < push.vocab && wins(pair, best)) best = pair;
    }
  }
  best = best_of_workgroup(best);
  if (gl_LocalInvocationIndex == 0u) {
    partial[2u * slice] = best.x;
    partial[2u * slice + 1u] = best.y;
  }
}
