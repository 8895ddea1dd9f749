// Push constants of rms_norm.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_RMS_NORM_PUSH_H
#define NBL_SPIRV_RMS_NORM_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

/* A unit is a vec4, or one element where slices do not begin at vec4s. */
struct RmsNormPush {
  uint rows;    /* rows that exist; the live ones among them are computed */
  uint heads;   /* slices of a row, each normalised on its own */
  uint columns; /* of a slice, without padding */
  uint units;   /* of a slice */
  uint stride;  /* units from one row to the next */
  float eps;
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
