// The larger logit, the lower index of equals, NaN below everything: shared by argmax and sample.
// Needs a local size that is a power of two, at most 128.

// Unsigned integers in the order of the floats: 0 for NaN, then -inf, ... and +inf. -0 equals +0.
uint order_key(float value) {
  const uint bits = floatBitsToUint(value);
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0u;
  if (magnitude == 0u) return 0x80000000u;
  return (bits >> 31) != 0u ? ~bits : bits | 0x80000000u;
}

float value_of_key(uint key) {
  return uintBitsToFloat((key >> 31) != 0u ? key & 0x7fffffffu : ~key);
}

// (key, index)
bool wins(uvec2 a, uvec2 b) { return a.x > b.x || (a.x == b.x && a.y < b.y); }

shared uvec2 best_pairs[128];

uvec2 best_of_workgroup(uvec2 pair) {
  const uint lane = gl_LocalInvocationIndex;
  best_pairs[lane] = pair;
  barrier();
  for (uint width = gl_WorkGroupSize.x / 2u; width > 0u; width /= 2u) {
    if (lane < width && wins(best_pairs[lane + width], best_pairs[lane])) {
      best_pairs[lane] = best_pairs[lane + width];
    }
    barrier();
  }
  return best_pairs[0];
}
