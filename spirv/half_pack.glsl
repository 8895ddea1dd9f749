// float32 to float16, rounded to nearest even on every device: packHalf2x16 alone may truncate.
// Numbers beyond the largest half are clamped to it; infinities become NaN, as NaN stays, so that
// whoever reads the cache gets no number either.

vec4 round_to_half(vec4 value) {
  const vec4 magnitude = min(abs(value), vec4(65504.0));
  uvec4 bits = floatBitsToUint(magnitude);
  bits = (bits + 0xfffu + ((bits >> 13) & 1u)) & ~0x1fffu;
  // Below 2^-14 halves are multiples of 2^-24, the spacing of float32 from 0.5 on.
  precise const vec4 shifted = magnitude + 0.5;
  precise const vec4 tiny = shifted - 0.5;
  const bvec4 is_tiny = lessThan(magnitude, vec4(6.103515625e-05));
  const bvec4 is_none = greaterThanEqual(floatBitsToUint(abs(value)), uvec4(0x7f800000u));
  const vec4 rounded = mix(mix(uintBitsToFloat(bits), tiny, is_tiny),
                           vec4(uintBitsToFloat(0x7fc00000u)), is_none);
  return mix(rounded, -rounded, lessThan(value, vec4(0.0)));
}
