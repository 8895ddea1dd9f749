// Push constants of update_cache.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_UPDATE_CACHE_PUSH_H
#define NBL_SPIRV_UPDATE_CACHE_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct UpdateCachePush {
  uint columns; /* kv_heads * head_dim */
  uint stride;  /* floats from one row of x to the next */
  uint head_dim;
  uint context; /* positions the cache has room for */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
