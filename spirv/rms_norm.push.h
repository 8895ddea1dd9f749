// Push constants of rms_norm.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_RMS_NORM_PUSH_H
#define NBL_SPIRV_RMS_NORM_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct RmsNormPush {
  uint columns;
  uint stride4; /* vec4s from one row to the next */
  float eps;
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
