// Push constants of softmax.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_SOFTMAX_PUSH_H
#define NBL_SPIRV_SOFTMAX_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct SoftmaxPush {
  uint rows; /* rows that exist; the live ones among them are computed */
  uint columns;
  uint stride; /* elements from one row to the next */
  float scale; /* more than 0 */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
