// Push constants of sample.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_SAMPLE_PUSH_H
#define NBL_SPIRV_SAMPLE_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct SamplePush {
  uint vocab;
  uint stride4;  /* vec4s from one row of logits to the next */
  uint all_rows; /* 1: the row of the last live token; 0: row 0 */
  uint slices;   /* workgroups of argmax, pairs in `partial` */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
