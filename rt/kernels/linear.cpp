#include "rt/kernels/linear.h"

#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/linear.push.h"

namespace nbl {
namespace {

// Ways that K is split in a workgroup. 4 to 8 suit small GPUs; a wide one idles in a chain of small
// matrices unless each lane has a block or two, which 64 ways give at K = 2048 to 4096.
constexpr uint32_t kMinSplit = 4;
constexpr uint32_t kMaxSplit = 64;

bool one_row(const LinearArgs& args) {
  return args.tokens == 1 || args.last_row;
}

bool splits_k(const Caps& caps, const LinearArgs& args) {
  return one_row(args) && (caps.features & kScalarLoads) == 0;
}

LinearPush push_of(const LinearArgs& args) {
  uint32_t flags = 0;
  if (args.bias) flags |= LINEAR_BIAS;
  if (args.residual) flags |= LINEAR_RESIDUAL;
  if (args.swiglu) flags |= LINEAR_SWIGLU;
  if (args.last_row) flags |= LINEAR_LAST_ROW;
  return {.tokens = args.tokens,
          .rows = args.rows,
          .row_begin = args.row_begin,
          .quads = args.row_count / 4,
          .columns = args.columns,
          .blocks = div_up(args.columns, 32u),
          .k_words = q4_padded_columns(args.columns, args.group_size) / 8,
          .group_blocks = args.group_size / 32,
          .out_stride = row_stride(args.swiglu ? args.rows / 2 : args.rows),
          .flags = flags,
          .eps = args.eps};
}

// Enough ways to give every lane of the device work, but no lane less than a block.
uint32_t choose_split(const Caps& caps, const LinearPush& push, uint32_t max_local) {
  uint32_t split = kMinSplit;
  while (split < kMaxSplit && split * 8 <= max_local && split * push.quads < caps.lanes &&
         split * 2 <= push.blocks) {
    split *= 2;
  }
  return split;
}

Status call_gemv(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  const LinearPush push = push_of(args);
  const uint32_t max_local = min_of(min_of(caps.max_invocations, caps.max_workgroup_x), 256u);
  const uint32_t split = choose_split(caps, push, max_local);
  // At least the four quads of a tile side by side, and 64 lanes.
  const uint32_t local = max_of(64u, 4 * split);
  NBL_TRY(pick(Family::gemv, caps, local, local * 20, &call->variant, error));
  call->spec_count = 3;
  call->spec[0] = local;
  call->spec[1] = split;
  call->spec[2] = args.norm ? 1 : 0;
  set_grid_folded(call, div_up(push.quads, local / split), caps.max_grid[0]);
  set_push(call, push);
  return {};
}

// Rows of x and quads of weight rows that a lane takes (-DTOKENS, -DQUADS in variants.def).
struct Tile {
  VariantId variant;
  uint32_t tokens;
  uint32_t quads;
};

// With kScalarLoads every lane's load of x costs, so a lane reuses it over 16 rows; on lavapipe
// this is 1.6 times as fast for one token and 1.8 times for 64 as the floor's four rows. A GPU
// would spill.
Tile choose_tile(const Caps& caps, const LinearArgs& args) {
  if ((caps.features & kScalarLoads) == 0) return {VariantId::gemm_floor, 4, 1};
  if (one_row(args)) return {VariantId::gemm_wide1, 1, 4};
  return {VariantId::gemm_wide4, 4, 4};
}

Status call_tile(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  const LinearPush push = push_of(args);
  const Tile tile = choose_tile(caps, args);
  // Lanes share nothing. One subgroup a workgroup spreads a small matrix over a CPU's cores.
  const uint32_t one = min_of(max_of(caps.subgroup_size, 8u), 64u);
  const uint32_t local = (caps.features & kScalarLoads) != 0 ? one : 64;
  const Variant& variant = kVariants[static_cast<uint32_t>(tile.variant)];
  if (!fits(variant, caps, local, 0)) {
    return fail(error, Code::device_limit, static_cast<uint32_t>(tile.variant), variant.name, local,
                min_of(caps.max_invocations, caps.max_workgroup_x));
  }
  const uint32_t token_tiles = args.last_row ? 1 : div_up(args.tokens, tile.tokens);
  if (token_tiles > caps.max_grid[2]) {
    return fail(error, Code::device_limit, static_cast<uint32_t>(tile.variant), "linear tokens",
                token_tiles, caps.max_grid[2]);
  }
  call->variant = static_cast<uint16_t>(tile.variant);
  call->spec_count = 1;
  call->spec[0] = local;
  set_grid_folded(call, div_up(push.quads, local * tile.quads), caps.max_grid[0]);
  call->grid[2] = token_tiles;
  set_push(call, push);
  return {};
}

}  // namespace

bool linear_fuses_norm(const Caps& caps, const LinearArgs& args) {
  return splits_k(caps, args);
}

Status call_linear(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(!args.norm || linear_fuses_norm(caps, args));
  KernelCall made;
  NBL_TRY(splits_k(caps, args) ? call_gemv(caps, args, &made, error)
                               : call_tile(caps, args, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
