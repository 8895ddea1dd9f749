// The larger logit, the lower index of equals: shared by argmax and sample. Needs a local size that
// is a power of two, at most 128.

const uint kNotFinite = 0xffffffffu;  // the key of what is no number, or an infinity; above all others

// Unsigned integers in the order of the floats whose bits are given: -inf, ... and the largest.
// -0 equals +0; never 0.
uvec4 order_keys(uvec4 bits) {
  const uvec4 key = bits ^ (uvec4(ivec4(bits) >> 31) | 0x80000000u);
  return mix(key, uvec4(0x80000000u), equal(bits & 0x7fffffffu, uvec4(0u)));
}

float value_of_key(uint key) {
  return uintBitsToFloat((key >> 31) != 0u ? key & 0x7fffffffu : ~key);
}

// Of pairs (key, index).
uvec2 winner(uvec2 a, uvec2 b) {
  const bool tie = a.x == b.x;
  const bool first = tie ? a.y < b.y : a.x > b.x;
  return first ? a : b;
}

shared uvec2 best_pairs[128];

uvec2 best_of_workgroup(uvec2 pair) {
  const uint lane = gl_LocalInvocationIndex;
  best_pairs[lane] = pair;
  barrier();
  for (uint width = gl_WorkGroupSize.x / 2u; width > 0u; width /= 2u) {
    if (lane < width) best_pairs[lane] = winner(best_pairs[lane], best_pairs[lane + width]);
    barrier();
  }
  return best_pairs[0];
}
