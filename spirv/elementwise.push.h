// Push constants of elementwise.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_ELEMENTWISE_PUSH_H
#define NBL_SPIRV_ELEMENTWISE_PUSH_H

/* The function: nbl::Function of rt/model/model.h, and one more. */
#define FUNCTION_ADD 1u
#define FUNCTION_SUB 2u
#define FUNCTION_MUL 3u
#define FUNCTION_DIV 4u
#define FUNCTION_SIGMOID 5u
#define FUNCTION_SILU 6u
#define FUNCTION_GELU 7u
#define FUNCTION_GELU_TANH 8u
#define FUNCTION_TANH 9u
#define FUNCTION_RELU 10u
#define FUNCTION_EXP 11u
#define FUNCTION_NEG 12u
#define FUNCTION_RSQRT 13u
#define FUNCTION_SQUARE 14u
#define FUNCTION_SQRT 15u
#define FUNCTION_RECIPROCAL 16u
#define FUNCTION_SWIGLU 17u

/* The second operand. */
#define OPERAND_SCALAR 0u /* alpha, or none */
#define OPERAND_SAME 1u   /* of the shape of a */
#define OPERAND_REPEAT 2u /* column c % b_columns of row t, of row 0 where b_stride is 0 */

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct ElementwisePush {
  uint rows; /* rows that exist; the live ones among them are computed */
  uint columns;
  uint stride4; /* vec4s from one row to the next */
  uint b_columns;
  uint b_stride; /* elements from one row of b to the next */
  float alpha;
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
