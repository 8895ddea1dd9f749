#include "rt/kernels/embedding.h"

#include <bit>

#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/embedding.push.h"

namespace nbl {
namespace {

uint32_t order_of(Layout layout) {
  if (layout == Layout::q8_t16k4) return EMBEDDING_EIGHT_BITS;
  if (layout == Layout::q4_rows_linear) return EMBEDDING_LINEAR;
  return layout == Layout::q4_rows_embedding ? EMBEDDING_SWAPPED : EMBEDDING_TILED;
}

}  // namespace

Status call_embedding(const Caps& caps, const EmbeddingArgs& args, KernelCall* call, Error* error) {
  // A lane writes eight elements: 32 lanes cover 256 columns, and more would idle on small rows.
  constexpr uint32_t kLocalSize = 32;
  if (args.tokens > caps.max_grid[1]) {
    return fail(error, Code::device_limit, 0, "embedding tokens", args.tokens, caps.max_grid[1]);
  }
  KernelCall made;
  const uint32_t images = args.texture ? 1u << 1 : 0;
  NBL_TRY(pick(Family::embedding, caps, kLocalSize, 0, &made.variant, error, images));
  made.spec_count = 1;
  made.spec[0] = kLocalSize;
  made.grid[0] = div_up(row_stride(args.columns) / 8, kLocalSize);
  made.grid[1] = args.tokens;
  const uint32_t group_words = args.format.group_size / 8;
  set_push(&made, EmbeddingPush{.columns = args.columns,
                                .k_words = args.format.columns(args.columns) / 8,
                                .group_shift = static_cast<uint32_t>(std::countr_zero(group_words)),
                                .rows = args.rows,
                                .row_begin = args.row_begin,
                                .row_count = args.row_count,
                                .tile_shift = args.format.tiled() ? 4u : 0u,
                                .order = order_of(args.format.layout),
                                .f32_scales = args.format.f32_scales ? 1u : 0u});
  if (args.texture) add_first_texel(&made);
  *call = made;
  return {};
}

}  // namespace nbl
