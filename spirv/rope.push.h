// Push constants of rope.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_ROPE_PUSH_H
#define NBL_SPIRV_ROPE_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct RopePush {
  uint columns; /* heads * head_dim */
  uint stride;  /* floats from one row to the next */
  uint head_dim;
  uint rotary_dim;
  uint pair_offset; /* from a pair's first element to its second: 1 or rotary_dim / 2 */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
