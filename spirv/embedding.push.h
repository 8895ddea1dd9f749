// Push constants of embedding.comp.
#ifndef NBL_SPIRV_EMBEDDING_PUSH_H
#define NBL_SPIRV_EMBEDDING_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct EmbeddingPush {
  uint columns;      // E
  uint k_words;      // words of one row of a tile: align_up(E, group) / 8
  uint group_words;  // words of one row in a group: group / 8
  uint rows;         // V
  uint row_begin;    // first row of the window
  uint row_count;    // rows in the window
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
