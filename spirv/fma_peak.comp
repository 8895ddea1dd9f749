// out[i] = what is left of 12 chains of x = x * m + c
//
// For the tools alone: how many float32 multiply-adds the device does a second. No kernel of the
// runtime, which reads and writes next to nothing.
// Step        read: rounds in STEP_TOKEN_COUNT; m and c, which the compiler must not know, as float
//             bits in STEP_TEMPERATURE and STEP_TOP_P.
// Work-item   FMA_PEAK_STEPS multiply-adds in a round of each of 12 floats that do not depend on
//             each other: enough for a core that starts two multiplications and two additions of 3
//             cycles each at once, and few enough for 16 registers. Written x * m + c, which a
//             driver may fuse: fma() is a call where there is no such instruction.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "fma_peak.h"

layout(local_size_x = FMA_PEAK_LOCAL) in;

layout(set = 0, binding = 1) writeonly buffer Out { vec4 result[]; };

void main() {
  const vec4 m = vec4(uintBitsToFloat(step[STEP_TEMPERATURE]));
  const vec4 c = vec4(uintBitsToFloat(step[STEP_TOP_P]));
  const uint rounds = step[STEP_TOKEN_COUNT];
  vec4 x[3];
  // All different, or the compiler would do one for several.
  [[unroll]] for (uint j = 0u; j < 3u; ++j) {
    x[j] = vec4(gl_LocalInvocationIndex) + vec4(4u * j, 4u * j + 1u, 4u * j + 2u, 4u * j + 3u);
  }
  for (uint round = 0u; round < rounds; ++round) {
    [[unroll]] for (uint s = 0u; s < FMA_PEAK_STEPS; ++s) {
      [[unroll]] for (uint j = 0u; j < 3u; ++j) x[j] = x[j] * m + c;
    }
  }
  result[folded_group() * gl_WorkGroupSize.x + gl_LocalInvocationIndex] = x[0] + x[1] + x[2];
}
