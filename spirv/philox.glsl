// Philox-4x32-10: four random words for a counter and a key.
//
// Source  Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
uvec4 philox(uvec4 counter, uvec2 key) {
  for (uint round = 0u; round < 10u; ++round) {
    uint high0, low0, high1, low1;
    umulExtended(0xd2511f53u, counter.x, high0, low0);
    umulExtended(0xcd9e8d57u, counter.z, high1, low1);
    counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
    key += uvec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return counter;
}

// -log(1 - u) for u = (word + 1/2) / 2^32: exponentially distributed, its relative error a few ulp
// also where u is small, as a race's winner mostly is. Below u = 1/2 the series of 2 atanh(s) with
// s = u / (2 - u) <= 1/3, whose first term left out is 3e-9 of the sum.
vec4 exponentials(uvec4 words) {
  const bvec4 upper = greaterThan(words, uvec4(0x7fffffffu));
  const vec4 u = (vec4(mix(words, ~words, upper)) + 0.5) * (1.0 / 4294967296.0);
  const vec4 s = u / (2.0 - u);
  const vec4 q = s * s;
  vec4 sum = vec4(1.0 / 15.0);
  sum = sum * q + 1.0 / 13.0;
  sum = sum * q + 1.0 / 11.0;
  sum = sum * q + 1.0 / 9.0;
  sum = sum * q + 1.0 / 7.0;
  sum = sum * q + 1.0 / 5.0;
  sum = sum * q + 1.0 / 3.0;
  sum = sum * q + 1.0;
  return mix(2.0 * s * sum, -log(u), upper);
}
