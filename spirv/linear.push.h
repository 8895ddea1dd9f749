// Push constants of the linear_*.comp kernels.
#ifndef NBL_SPIRV_LINEAR_PUSH_H
#define NBL_SPIRV_LINEAR_PUSH_H

#define LINEAR_BIAS 1u
#define LINEAR_RESIDUAL 2u
#define LINEAR_SWIGLU 4u   /* rows 2i and 2i+1 are gate and up; out[i] = silu(gate) * up */
#define LINEAR_GELU 16u    /* with LINEAR_SWIGLU: gelu, by tanh, in place of silu */
#define LINEAR_LAST_ROW 8u /* read row token_count - 1, write row 0 */
/* Steps of at most flags >> LINEAR_FEW tokens are left to another dispatch; so are those of more
   than tokens. */
#define LINEAR_FEW 16u

#define GEMV_NORM 32u /* rms_norm of x first; in linear_gemv.comp's specialisation constant */
#define GEMV_SMALL_GROUPS 64u /* of less than 32; likewise */
#define GEMV_F32_SCALES 128u  /* likewise; in FORMAT of the others */
#define GEMV_EIGHT_BITS 256u  /* likewise */

/* FORMAT, a specialisation constant of the kernels other than linear_gemv.comp. */
#define LINEAR_F16_SCALES 0u
#define LINEAR_F32_SCALES 1u
#define LINEAR_EIGHT_BITS 2u /* q8_t16k4; linear_tile.comp only */

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct LinearPush {
  uint tokens;       // rows of x that exist
  uint rows;         // N, without padding
  uint row_begin;    // first row of the window, a multiple of 32
  uint quads;        // rows of the window / 4
  uint columns;      // K
  uint blocks;       // ceil(K / 32)
  uint k_words;      // K padded to whole groups and to 32, / 8
  uint group_shift;  // log2(group / 8)
  uint out_stride;   // elements from one output row to the next
  uint flags;        // LINEAR_*
  float eps;
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
