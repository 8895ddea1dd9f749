// What the linear_dq8ca*.comp kernels share: rows and parameters of quantize_rows.comp, the packed dot
// product, and the order of sums.
//
// A group's sum is an integer below 2^24: exact, with the packed dot product (DOT) as in float32.
// The groups are dealt to WAYS equal ranges; a range adds up its groups in turn, scaled, and the
// ranges are added up in turn. So a row has the same bits for any number of rows, in any tile, and
// for both ways of multiplying.
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#define EPILOGUE_SUM precise
#include "linear.glsl"
#include "quantize_rows.push.h"

layout(set = 0, binding = 5) readonly buffer Params { uvec2 params[]; };  // scale, zero

#ifdef DOT
// OpSDot: the sum of the products of four signed bytes.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019],
                  id = 4450)
int dot_of_bytes(int a, int b, spirv_literal int packed_format);
int dot4(uint a, uint b) { return dot_of_bytes(int(a), int(b), 0); }
ivec4 dot4(uvec4 a, uint b) {
  return ivec4(dot4(a.x, b), dot4(a.y, b), dot4(a.z, b), dot4(a.w, b));
}

// A word of eight weights as two of four signed bytes, each sixteen times a weight: the nibble with
// its upper bit turned over, in the upper half of the byte.
uvec4 low_bytes(uvec4 word) { return (word << 4 ^ 0x80808080u) & 0xf0f0f0f0u; }
uvec4 high_bytes(uvec4 word) { return (word ^ 0x80808080u) & 0xf0f0f0f0u; }
ivec4 sums_of_bytes(uvec4 low, uvec4 high) {
  return dot4(low, 0x01010101u) + dot4(high, 0x01010101u);
}
#endif

// An explicit fma(), so that all ways of multiplying give the same bits: a product and a sum were not
// rounded alike in all of them with NVIDIA 580, though marked precise. A function, because what is
// precise makes precise what it comes from.
vec4 add_scaled(vec4 to, vec4 value, vec4 scale) {
  precise vec4 out_value = fma(value, scale, to);
  return out_value;
}
