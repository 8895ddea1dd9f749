// Push constants of quantize_rows.comp.
#ifndef NBL_SPIRV_QUANTIZE_ROWS_PUSH_H
#define NBL_SPIRV_QUANTIZE_ROWS_PUSH_H

#define QUANTIZE_LAST_ROW 1u /* only the last live row, in its own place */
#define QUANTIZE_NORM 2u     /* rms_norm of the row first */

// Bytes of a quantized row are a multiple of this: whole groups of every size, so that linears
// whose groups differ can share one.
#define QUANTIZED_ROW_ALIGN 256

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct QuantizeRowsPush {
  uint columns; /* K */
  uint stride4; /* vec4s from one row of x to the next */
  uint words;   /* words of a quantized row: align_up(K, QUANTIZED_ROW_ALIGN) / 4 */
  uint flags;   /* QUANTIZE_* */
  float eps;    /* of the norm */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
