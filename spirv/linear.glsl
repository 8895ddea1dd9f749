// What the linear_*.comp kernels share: bindings, weight access and the epilogue.
//
// Layout  q4_t16k8 (rt/model/model.h) seen as uvec4: one holds 4 rows x 8 k, component = row;
//         uvec4 ((n/16) * (K/8) + k/8) * 4 + (n%16)/4. Byte b of a component has k%8 = b in its low
//         nibble and k%8 = b + 4 in its high one. Scales: the four of a quad of rows and one group
//         are number ((n/16) * (K/G) + k/G) * 4 + (n%16)/4: a uvec2 of f16 pairs, or two of f32.
//         q8_t16k4 likewise, with two uvec4 for eight k: byte b of a component of the first has
//         k%8 = b, of the second, four uvec4 on, k%8 = b + 4.
#include "common.glsl"
#include "gated.glsl"
#include "linear.push.h"

#ifndef LINEAR_FLAGS
#define LINEAR_FLAGS push.flags
#endif
// A constant: which words of a scale there are must not be asked in a loop.
#ifndef F32_SCALES
layout(constant_id = SCALES_ID) const uint SCALES = LINEAR_F16_SCALES;
const bool F32_SCALES = SCALES == LINEAR_F32_SCALES;
#endif
#ifdef EIGHT_BITS
const uint kWords = EIGHT_BITS ? 2u : 1u;  // of a row, that hold eight k
const uint kMask = EIGHT_BITS ? 0xffffffffu : 0x0f0f0f0fu;
const float kOffset = EIGHT_BITS ? 128.0 : 8.0;  // what the bits are too high
#define EIGHT_WORDS (4u * kWords)
#else
#define EIGHT_WORDS 4u
#endif
#ifdef TEXTURE
layout(push_constant) uniform Push { LinearPush push; uint first_texel; };
#else
layout(push_constant) uniform Push { LinearPush push; };
#endif
layout(set = 0, binding = 1) readonly buffer X { vec4 x[]; };
#ifdef TEXTURE
#define TEXTURE_BINDING 2
#include "texture.glsl"
#else
layout(set = 0, binding = 2) readonly buffer Nibbles { uvec4 weight[]; };
#endif
layout(set = 0, binding = 3) readonly buffer Scales { uvec2 scales[]; };
layout(set = 0, binding = 4) writeonly buffer Out { vec2 result[]; };
layout(set = 0, binding = 6) readonly buffer Bias { float bias[]; };
layout(set = 0, binding = 7) readonly buffer Residual { vec2 residual[]; };

// The uvec4 at this index of the window.
uvec4 weights_at(uint index) {
#ifdef TEXTURE
  return texel_at(first_texel + index);
#else
  return weight[index];
#endif
}

// uvec4 of the first eight k of a quad; the next eight are EIGHT_WORDS further on.
uint weight_base(uint quad) { return (quad / 4u) * push.k_words * EIGHT_WORDS + quad % 4u; }

// Number of a quad's scales of the first group; the next group is 4 further on.
uint scale_base(uint quad) {
  return (quad / 4u) * (push.k_words >> push.group_shift) * 4u + quad % 4u;
}

// A quad's scales as they lie there; f16 leaves the last two words alone.
uvec4 scale_words_at(uint index) {
  if (F32_SCALES) return uvec4(scales[2u * index], scales[2u * index + 1u]);
  return uvec4(scales[index], 0u, 0u);
}

vec4 scales_of(uvec4 words) {
  if (F32_SCALES) return uintBitsToFloat(words);
  return vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
}

// Where a quad's results lie in output row t, in vec2: two of them, with swiglu one.
uint result_at(uint quad, uint t) {
  const uint n = push.row_begin + quad * 4u;
  const uint column = (LINEAR_FLAGS & LINEAR_SWIGLU) != 0u ? n / 2u : n;
  return (t * push.out_stride + column) / 2u;
}

// What is added to a quad's results: zero where there is no residual.
vec4 residual_of(uint quad, uint t) {
  if ((LINEAR_FLAGS & LINEAR_RESIDUAL) == 0u) return vec4(0.0);
  const uint at = result_at(quad, t);
  return vec4(residual[at], (LINEAR_FLAGS & LINEAR_SWIGLU) != 0u ? vec2(0.0) : residual[at + 1u]);
}

// Set to precise by kernels whose sums must have the same bits in all of them: a compiler may fuse an
// addition with the product before it in one and not in another.
#ifndef EPILOGUE_SUM
#define EPILOGUE_SUM
#endif

// Adds the bias or applies swiglu to four sums, adds the residual and stores them in row t.
void store_quad(uint quad, uint t, vec4 sums, vec4 added) {
  EPILOGUE_SUM vec4 sum = sums;
  if ((LINEAR_FLAGS & LINEAR_BIAS) != 0u) {
    const uint n = push.row_begin + quad * 4u;
    const uint last = push.rows - 1u;
    const bvec4 live = lessThan(uvec4(n, n + 1u, n + 2u, n + 3u), uvec4(push.rows));
    sum += mix(vec4(0.0),
               vec4(bias[min(n, last)], bias[min(n + 1u, last)], bias[min(n + 2u, last)],
                    bias[min(n + 3u, last)]),
               live);
  }
  const uint at = result_at(quad, t);
  if ((LINEAR_FLAGS & LINEAR_SWIGLU) != 0u) {
    const bool gelu = (LINEAR_FLAGS & LINEAR_GELU) != 0u;
    EPILOGUE_SUM vec2 pair = vec2(gated(sum.x, sum.y, gelu), gated(sum.z, sum.w, gelu)) + added.xy;
    result[at] = pair;
    return;
  }
  sum += added;
  result[at] = sum.xy;
  result[at + 1u] = sum.zw;
}

void finish_quad(uint quad, uint t, vec4 sum) { store_quad(quad, t, sum, residual_of(quad, t)); }
