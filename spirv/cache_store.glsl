// Four neighbouring elements of a key or value row as the words of a cache
// [kv_heads][context][head_dim]: f32, f16 pairs, or int8 with f32 scales [kv_heads][context] behind
// all values. Needs CACHE, the cache's type as a specialisation constant, and a work-group of at
// most 64.
#include "half_pack.glsl"
#include "int8_scale.glsl"

const uint CACHE_WORDS = CACHE == CACHE_F32 ? 4u : CACHE == CACHE_F16 ? 2u : 1u;

shared uint cache_peaks[64];  // the largest magnitude that each work-item holds, as float bits

// The scale of an int8 row: its largest magnitude over 127, NaN where the row is not finite. A row is `row_items` neighbouring
// work-items of a work-group, which starts with a whole row. Called by all of them.
float cache_scale(vec4 value, uint row_items) {
  if (CACHE != CACHE_I8) return 1.0;
  const uint lane = gl_LocalInvocationIndex;
  const uvec4 size = floatBitsToUint(abs(value));
  cache_peaks[lane] = max(max(size.x, size.y), max(size.z, size.w));
  barrier();
  const uint first = lane - lane % row_items;
  uint bits = 0u;
  for (uint i = first; i < min(first + row_items, 64u); ++i) bits = max(bits, cache_peaks[i]);
  return int8_scale(bits);
}

// The first CACHE_WORDS of them.
uvec4 cache_words(vec4 value, float scale) {
  if (CACHE == CACHE_F32) return floatBitsToUint(value);
  if (CACHE == CACHE_F16) {
    const vec4 halves = round_to_half(value);
    return uvec4(packHalf2x16(halves.xy), packHalf2x16(halves.zw), 0u, 0u);
  }
  const vec4 q = scale > 0.0 ? clamp(value / scale, -127.0, 127.0) : vec4(0.0);
  const uvec4 bytes = uvec4(ivec4(roundEven(q))) & 0xffu;
  return uvec4(bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24, 0u, 0u, 0u);
}
