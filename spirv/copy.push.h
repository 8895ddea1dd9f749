// Push constants of copy.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_COPY_PUSH_H
#define NBL_SPIRV_COPY_PUSH_H
#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct CopyPush {
  uint rows;    /* of out, that exist */
  uint columns; /* of out */
  uint stride;  /* elements from one row of out to the next */
  uint last_of; /* 0: row by row; else row 0 is the last live one of that many */
  uint offset;  /* column = offset + c % period * inner + c / period * outer, */
  uint period;  /* where c counts from the source's first column */
  uint inner;
  uint outer;
  uint begin[4];  /* the first column of out that comes from source s; past the end where s is
                     not used */
  uint source[4]; /* elements from one row of source s to the next */
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
