// out[t][c] = f(a[t][c], b), where b is alpha, b[t][c] or, repeated, b[t or 0][c % D]
//
//   add, sub    a +- alpha * b; a +- alpha where alpha is the operand
//   mul, div    a * b, a / b; swiglu = silu(a) * b
//   sigmoid     1 / (1 + exp(-a)), silu = a * sigmoid(a), gelu_tanh = a * sigmoid(2 u) with
//               u = sqrt(2 / pi) * (a + 0.044715 a^3): 1 + tanh(u) is 2 sigmoid(2 u)
//   gelu        a * (1 - erfc(|a| / sqrt(2)) / 2), or its second term alone where a < 0. erfc is
//               formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions: error
//               1.5e-7 at most.
//   tanh        (1 - e) / (1 + e), e = exp(-2 |a|); its series near 0, where 1 - e cancels
//
// exp() gets arguments that are not positive, so it never overflows; where a factor is 0 in the
// limit, the other one is held finite.
//
// Shapes      a, out [rows][stride], b as above; the padding of a row of out is written as 0.
// Work-item   one vec4.
// Work-group  L vec4s in a row, across row ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "elementwise.push.h"

layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint kFunction = FUNCTION_ADD;
layout(constant_id = 2) const uint kOperand = OPERAND_SCALAR;

// Of two zeros the others make a zero themselves.
const bool kWritesPadding = kOperand != OPERAND_SAME || kFunction == FUNCTION_DIV;

layout(set = 0, binding = 1) readonly buffer A { vec4 a[]; };
layout(set = 0, binding = 2) readonly buffer B { vec4 b[]; };
layout(set = 0, binding = 3) writeonly buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { ElementwisePush push; };

const float kLeast = -200.0;  // exp() of it is 0

vec4 sigmoid(vec4 x) {
  const vec4 e = exp(-abs(x));
  return mix(e, vec4(1.0), greaterThanEqual(x, vec4(0.0))) / (1.0 + e);
}

vec4 silu(vec4 x) { return max(x, vec4(kLeast)) * sigmoid(x); }

vec4 gelu(vec4 x) {
  const vec4 z = abs(x) * 0.70710678;
  const vec4 t = 1.0 / (1.0 + 0.3275911 * z);
  const vec4 tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 +
                    t * (-1.453152027 + t * 1.061405429))));
  const vec4 half_erfc = 0.5 * tail * exp(-z * z);
  return mix(max(x, vec4(kLeast)) * half_erfc, x * (1.0 - half_erfc),
             greaterThanEqual(x, vec4(0.0)));
}

// The series ends at x^9: what is left out is below 1e-8 of tanh(x) for |x| < 1/4.
vec4 tanh_of(vec4 x) {
  const vec4 e = exp(-2.0 * abs(x));
  const vec4 s = x * x;
  const vec4 series =
      x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
  return mix(sign(x) * ((1.0 - e) / (1.0 + e)), series, lessThan(abs(x), vec4(0.25)));
}

vec4 root(vec4 x) {
  return mix(sqrt(x), vec4(uintBitsToFloat(0x7fc00000u)), lessThan(x, vec4(0.0)));
}

vec4 value_of(vec4 x, vec4 y) {
  switch (kFunction) {
    case FUNCTION_ADD:
      return x + y;
    case FUNCTION_SUB:
      return x - y;
    case FUNCTION_MUL:
      return x * y;
    case FUNCTION_DIV:
      return x / y;
    case FUNCTION_SIGMOID:
      return sigmoid(x);
    case FUNCTION_SILU:
      return silu(x);
    case FUNCTION_GELU:
      return gelu(x);
    case FUNCTION_GELU_TANH:
      return max(x, vec4(kLeast)) * sigmoid(1.59576912 * (x + 0.044715 * x * x * x));
    case FUNCTION_TANH:
      return tanh_of(x);
    case FUNCTION_RELU:
      return mix(x, vec4(0.0), lessThan(x, vec4(0.0)));
    case FUNCTION_EXP:
      // Not every driver's exp() gives NaN of NaN.
      return mix(exp(x), x, greaterThan(floatBitsToUint(abs(x)), uvec4(0x7f800000u)));
    case FUNCTION_NEG:
      return -x;
    case FUNCTION_RSQRT:
      return 1.0 / root(x);
    case FUNCTION_SQUARE:
      return x * x;
    case FUNCTION_SQRT:
      return root(x);
    case FUNCTION_RECIPROCAL:
      return 1.0 / x;
    default:
      return silu(x) * y;
  }
}

// The second operand of columns c .. c + 3 of row t; past the last column, whatever lies there.
vec4 operand(uint i, uint t, uint c) {
  if (kOperand == OPERAND_SCALAR) return vec4(push.alpha);
  vec4 y;
  if (kOperand == OPERAND_SAME) {
    y = b[i];
  } else {
    for (uint j = 0u; j < 4u; ++j) {
      const uint at = t * push.b_stride + (c + j) % push.b_columns;
      y[j] = b[at / 4u][at % 4u];
    }
  }
  return kFunction == FUNCTION_ADD || kFunction == FUNCTION_SUB ? push.alpha * y : y;
}

void main() {
  const uint i = folded_group() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  if (i >= live_rows(push.rows) * push.stride4) return;
  const uint t = i / push.stride4;
  const uint c = (i - t * push.stride4) * 4u;
  vec4 value = value_of(a[i], operand(i, t, c));
  if (kWritesPadding) {
    const uvec4 column = c + uvec4(0u, 1u, 2u, 3u);
    value = mix(value, vec4(0.0), greaterThanEqual(column, uvec4(push.columns)));
  }
  result[i] = value;
}
