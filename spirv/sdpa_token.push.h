// Push constants of sdpa_token.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_SDPA_TOKEN_PUSH_H
#define NBL_SPIRV_SDPA_TOKEN_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct SdpaTokenPush {
  uint heads;
  uint kv_heads;
  uint stride4; /* vec4s of a row of out */
  uint context; /* positions the caches have room for */
  uint splits;
  uint rotary_dim;
  uint pair_offset;  /* from a pair's first element to its second: 1 or rotary_dim / 2 */
  uint window;       /* keys that the query sees, its own included */
  float query_scale; /* scale * log2(e), or scale / cap */
  float cap_log2e;   /* cap * log2(e) */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
