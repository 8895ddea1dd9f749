// Push constants of cache_rows.comp, and the word of the step buffer that it reads beside position
// and count. Read by GLSL and C++.
#ifndef NBL_SPIRV_CACHE_ROWS_PUSH_H
#define NBL_SPIRV_CACHE_ROWS_PUSH_H

/* 1: from the window to the cache; 0: the other way. No token is sampled while rows move, so this
   takes the place of a parameter of sampling. */
#define STEP_ROWS_LOAD 3

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct CacheRowsPush {
  uint row_words;  /* of all heads at a position, without scales */
  uint head_words; /* of one head */
  uint scales;     /* 1 a head: an int8 cache; else 0 */
  uint context;    /* positions the cache has room for */
  uint rows;       /* that the window has room for */
  uint stride;     /* words from one row of the window to the next */
  uint offset;     /* of this cache's words in it */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
