#include "rt/kernels/embedding.h"

#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/embedding.push.h"

namespace nbl {

Status call_embedding(const Caps& caps, const EmbeddingArgs& args, KernelCall* call, Error* error) {
  // A lane writes eight elements: 32 lanes cover 256 columns, and more would idle on small rows.
  constexpr uint32_t kLocalSize = 32;
  if (args.tokens > caps.max_grid[1]) {
    return fail(error, Code::device_limit, 0, "embedding tokens", args.tokens, caps.max_grid[1]);
  }
  KernelCall made;
  NBL_TRY(pick(Family::embedding, caps, kLocalSize, 0, &made.variant, error));
  made.spec_count = 1;
  made.spec[0] = kLocalSize;
  made.grid[0] = div_up(row_stride(args.columns) / 8, kLocalSize);
  made.grid[1] = args.tokens;
  set_push(&made, EmbeddingPush{.columns = args.columns,
                                .k_words = q4_padded_columns(args.columns, args.group_size) / 8,
                                .group_words = args.group_size / 8,
                                .rows = args.rows,
                                .row_begin = args.row_begin,
                                .row_count = args.row_count});
  *call = made;
  return {};
}

}  // namespace nbl
