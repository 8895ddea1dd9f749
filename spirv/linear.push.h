// Push constants of the linear_*.comp kernels.
#ifndef NBL_SPIRV_LINEAR_PUSH_H
#define NBL_SPIRV_LINEAR_PUSH_H

#define LINEAR_BIAS 1u
#define LINEAR_RESIDUAL 2u
#define LINEAR_SWIGLU 4u   /* rows 2i and 2i+1 are gate and up; out[i] = silu(gate) * up */
#define LINEAR_LAST_ROW 8u /* read row token_count - 1, write row 0 */
/* Steps of at most flags >> LINEAR_FEW tokens are left to another dispatch; so are those of more
   than tokens. */
#define LINEAR_FEW 16u

#define GEMV_NORM 32u /* rms_norm of x first; in linear_gemv.comp's specialisation constant */

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct LinearPush {
  uint tokens;        // rows of x that exist
  uint rows;          // N, without padding
  uint row_begin;     // first row of the window, a multiple of 32
  uint quads;         // rows of the window / 4
  uint columns;       // K
  uint blocks;        // ceil(K / 32)
  uint k_words;       // K padded to whole groups / 8
  uint group_blocks;  // group / 32
  uint out_stride;    // elements from one output row to the next
  uint flags;         // LINEAR_*
  float eps;
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
