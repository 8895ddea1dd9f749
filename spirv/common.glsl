// Included by every kernel after #version. Binding 0 is always the step buffer.
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "step_state.h"

layout(set = 0, binding = 0) readonly buffer Step { uint step[]; };

// The index of this workgroup in a grid folded over x and y (set_grid_folded in rt/kernels/call.h).
uint folded_group() { return gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x; }

// Live tokens, as far as a tensor has rows for them: one where only the last token's row is kept.
uint live_rows(uint rows) { return min(step[STEP_TOKEN_COUNT], rows); }

uint padded_columns(uint columns) { return (columns + 31u) & ~31u; }

// Element `index` of an array of f16 pairs whose word is given.
float half_of(uint word, uint index) {
  const vec2 pair = unpackHalf2x16(word);
  return (index & 1u) == 0u ? pair.x : pair.y;
}

// Four consecutive values of a q4_t16k8 word as floats 0..15: shift 0 gives k%8 = 0..3, 4 gives 4..7.
vec4 nibbles(uint word, uint shift) {
  const uint b = (word >> shift) & 0x0f0f0f0fu;
  return vec4(b & 0xffu, (b >> 8) & 0xffu, (b >> 16) & 0xffu, b >> 24);
}
