// Push constants of rope_update_cache.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_ROPE_UPDATE_CACHE_PUSH_H
#define NBL_SPIRV_ROPE_UPDATE_CACHE_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct RopeUpdateCachePush {
  uint q_columns;  /* heads * head_dim */
  uint kv_columns; /* kv_heads * head_dim */
  uint kv_row;     /* columns of keys and values: kv_columns once or twice */
  uint qkv_stride; /* floats from one row of qkv to the next */
  uint q_stride;   /* floats from one row of q to the next */
  uint q_row;      /* columns of q that have work-items: q_stride, or whole heads that cover it */
  uint head_dim;
  uint rotary_dim;
  uint pair_offset; /* from a pair's first element to its second: 1 or rotary_dim / 2 */
  uint context;     /* positions the caches have room for */
  uint kv_items;    /* work-items for keys and values; those for q follow */
  uint group_items; /* work-items of a work-group that do something */
  float eps;        /* of the norm, where there is one */
  uint shift;       /* BACK: positions that rows come from further on */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
