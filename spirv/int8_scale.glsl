// The scale of an int8 row of a cache whose largest magnitude has these float bits; as integers, so
// that NaN is the largest and stays.
float int8_scale(uint bits) {
  const float peak = uintBitsToFloat(bits < 0x7f800000u ? bits : 0x7fc00000u);
  // The reciprocal of what is smaller would not be finite.
  return bits < floatBitsToUint(1e-30) ? 0.0 : peak * (1.0 / 127.0);
}
