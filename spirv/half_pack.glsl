// float32 to float16, rounded to nearest even on every device: packHalf2x16 alone may truncate.
// Values beyond the largest half are clamped to it, so that no infinity enters a cache.

float round_to_half(float value) {
  const float magnitude = min(abs(value), 65504.0);
  uint bits = floatBitsToUint(magnitude);
  bits = (bits + 0xfffu + ((bits >> 13) & 1u)) & ~0x1fffu;
  // Below 2^-14 halves are multiples of 2^-24, the spacing of float32 from 0.5 on.
  precise const float shifted = magnitude + 0.5;
  precise const float tiny = shifted - 0.5;
  const float rounded = magnitude < 6.103515625e-05 ? tiny : uintBitsToFloat(bits);
  return value < 0.0 ? -rounded : rounded;
}

uint pack_halves(float low, float high) {
  return packHalf2x16(vec2(round_to_half(low), round_to_half(high)));
}
