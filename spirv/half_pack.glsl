// float32 to float16, rounded to nearest even on every device: packHalf2x16 alone may truncate.
// Values beyond the largest half are clamped to it, so that no infinity enters a cache.

vec4 round_to_half(vec4 value) {
  const vec4 magnitude = min(abs(value), vec4(65504.0));
  uvec4 bits = floatBitsToUint(magnitude);
  bits = (bits + 0xfffu + ((bits >> 13) & 1u)) & ~0x1fffu;
  // Below 2^-14 halves are multiples of 2^-24, the spacing of float32 from 0.5 on.
  precise const vec4 shifted = magnitude + 0.5;
  precise const vec4 tiny = shifted - 0.5;
  const bvec4 is_tiny = lessThan(magnitude, vec4(6.103515625e-05));
  const vec4 rounded = mix(uintBitsToFloat(bits), tiny, is_tiny);
  return mix(rounded, -rounded, lessThan(value, vec4(0.0)));
}
