// Push constants of swiglu.comp and add.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_ELEMENTWISE_PUSH_H
#define NBL_SPIRV_ELEMENTWISE_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct ElementwisePush {
  uint stride4; /* vec4s from one row to the next */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
