// Copies rows of a KV cache to or from a window, word by word:
//   window[t][offset ..] <-> cache[.. heads][input_pos + t]                      t < live tokens
//
// Shapes      cache [heads][context][head_words] words, then those scales [heads][context] where it
//             has any; window [rows][stride]: the words of all heads, then their scales.
// Work-item   one word.
// Work-group  L words in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "cache_rows.push.h"
#include "common.glsl"

layout(local_size_x = 64, local_size_x_id = 0) in;

layout(set = 0, binding = 1) buffer Cache { uint cache[]; };
layout(set = 0, binding = 2) buffer Window { uint window[]; };
layout(push_constant) uniform Push { CacheRowsPush push; };

void main() {
  const uint i = folded_group() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  const uint words = push.row_words + push.scales;
  const uint t = i / words;
  if (t >= live_rows(push.rows)) return;
  const uint w = i - t * words;
  const bool is_scale = w >= push.row_words;
  const uint wide = is_scale ? 1u : push.head_words;
  const uint of_kind = is_scale ? w - push.row_words : w;
  const uint row = of_kind / wide * push.context + step[STEP_INPUT_POS] + t;
  const uint in_cache =
      (is_scale ? push.row_words * push.context : 0u) + row * wide + of_kind % wide;
  const uint in_window = t * push.stride + push.offset + w;
  if (step[STEP_ROWS_LOAD] != 0u) {
    cache[in_cache] = window[in_window];
  } else {
    window[in_window] = cache[in_cache];
  }
}
