#version 450
// out[t][e] = (bits(tokens[t], e) - offset) * scale[tokens[t]][e / G]
//   bits are nibbles and the offset 8; in q8_t16k4 bytes and 128
//
// Shapes  weight [V, E], out [T, align_up(E, 32)] f32, its padding columns written as zero
// Layout  all of rt/model/model.h, which differ in two things. Rows lie in tiles of R = 16 or R = 1:
//         word ((n/R) * (K/8) + k/8) * R + n%R has row n's eight values k..k+7, and scale
//         ((n/R) * (K/G) + k/G) * R + n%R is theirs. The eight nibbles of a word, lowest first, are
//         columns 0 4 1 5 2 6 3 7 (tiled), 0..7 (linear) or 1 0 3 2 5 4 7 6 (embedding). In q8_t16k4
//         two words, R apart, have the eight: columns 0..3, then 4..7, a byte each.
//         A binding holds the window of rows row_begin .. row_begin + row_count - 1; tokens outside
//         it are left to another dispatch.
// A work-item writes eight elements of one row: one weight word or two, two vec4 stores.
// A work-group does local_size words of row gl_WorkGroupID.y.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "embedding.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;
#ifdef TEXTURE
layout(push_constant) uniform Push { EmbeddingPush push; uint first_texel; };
#define TEXTURE_BINDING 1
#include "texture.glsl"
#else
layout(push_constant) uniform Push { EmbeddingPush push; };
layout(set = 0, binding = 1) readonly buffer Nibbles { uint weight[]; };
#endif
layout(set = 0, binding = 2) readonly buffer Scales { uint scales[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };

// Item `column` of a row whose items lie in tiles.
uint at(uint row, uint columns, uint column) {
  const uint tile = row >> push.tile_shift;
  const uint lane = row - (tile << push.tile_shift);
  return ((tile * columns + column) << push.tile_shift) + lane;
}

float scale_at(uint index) {
  return push.f32_scales != 0u ? uintBitsToFloat(scales[index])
                               : half_of(scales[index / 2u], index);
}

// Four values of a word; past the last column they are zero, whatever the padding holds.
vec4 four(uint bits, uvec4 shifts, uint column, float scale) {
  const bool eight = push.order == EMBEDDING_EIGHT_BITS;
  const uvec4 raw = (uvec4(bits) >> shifts) & (eight ? 255u : 15u);
  const vec4 value = (vec4(raw) - (eight ? 128.0 : 8.0)) * scale;
  return mix(vec4(0.0), value, lessThan(uvec4(column) + uvec4(0u, 1u, 2u, 3u), uvec4(push.columns)));
}

// The word at this index of the window.
uint weight_at(uint index) {
#ifdef TEXTURE
  return texel_at(first_texel + index / 4u)[index % 4u];
#else
  return weight[index];
#endif
}

void main() {
  const uint word = gl_GlobalInvocationID.x;
  const uint t = gl_WorkGroupID.y;
  const uint stride_words = padded_columns(push.columns) / 8u;
  if (t >= step[STEP_TOKEN_COUNT] || word >= stride_words) return;
  // A token past the vocabulary reads the last row; the host refuses such tokens beforehand.
  const uint token = min(step[STEP_TOKENS + t], push.rows - 1u);
  if (token < push.row_begin || token - push.row_begin >= push.row_count) return;
  const uint row = token - push.row_begin;

  vec4 low = vec4(0.0);
  vec4 high = vec4(0.0);
  if (word < push.k_words) {
    const bool eight = push.order == EMBEDDING_EIGHT_BITS;
    const uint words = eight ? 2u : 1u;
    const uint first = at(row, push.k_words * words, word * words);
    const uint bits = weight_at(first);
    const uint last = eight ? weight_at(first + 16u) : bits;
    const float scale = scale_at(at(row, push.k_words >> push.group_shift, word >> push.group_shift));
    const bool tiled = push.order == EMBEDDING_TILED || eight;
    uvec4 shifts = tiled ? uvec4(0u, 8u, 16u, 24u) : uvec4(0u, 4u, 8u, 12u);
    if (push.order == EMBEDDING_SWAPPED) shifts ^= 4u;
    low = four(bits, shifts, word * 8u, scale);
    high = four(last, shifts + (eight ? 0u : tiled ? 4u : 16u), word * 8u + 4u, scale);
  }
  result[(t * stride_words + word) * 2u] = low;
  result[(t * stride_words + word) * 2u + 1u] = high;
}
