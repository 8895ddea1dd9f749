// Push constants of embedding.comp.
#ifndef NBL_SPIRV_EMBEDDING_PUSH_H
#define NBL_SPIRV_EMBEDDING_PUSH_H

#define EMBEDDING_TILED 0u      /* q4_t16k8 */
#define EMBEDDING_LINEAR 1u     /* q4_rows_linear */
#define EMBEDDING_SWAPPED 2u    /* q4_rows_embedding */
#define EMBEDDING_EIGHT_BITS 3u /* q8_t16k4 */

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct EmbeddingPush {
  uint columns;      // E
  uint k_words;      // eights of columns in a row: E padded / 8
  uint group_shift;  // log2 of the eights of one row in a group
  uint rows;         // V
  uint row_begin;    // first row of the window
  uint row_count;    // rows in the window
  uint tile_shift;   // log2 of the rows of a tile: 4, or 0 where rows lie one after the other
  uint order;        // EMBEDDING_*: which bits of a word are which column
  uint f32_scales;   // else f16
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
