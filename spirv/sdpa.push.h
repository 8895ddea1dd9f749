// Push constants of sdpa.comp and sdpa_combine.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_SDPA_PUSH_H
#define NBL_SPIRV_SDPA_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct SdpaPush {
  uint tokens; /* rows of q that the recording has room for */
  uint heads;
  uint kv_heads;
  uint group;   /* heads / kv_heads */
  uint stride4; /* vec4s from one row of q, and of out, to the next */
  uint context; /* positions the caches have room for */
  uint splits;
  uint window;       /* keys that a query sees, its own included */
  uint mask_stride;  /* floats from one row of the mask to the next */
  float query_scale; /* scale * log2(e), or scale / cap */
  float cap_log2e;   /* cap * log2(e) */
};

struct SdpaCombinePush {
  uint tokens; /* rows that the partial results have room for */
  uint heads;
  uint head_dim4; /* head_dim / 4 */
  uint stride4;   /* vec4s from one row of out to the next */
  uint splits;
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
