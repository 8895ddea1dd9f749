#include "rt/kernels/linear.h"

#include <bit>

#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/linear.push.h"

namespace nbl {
namespace {

// Ways that K is split in a workgroup. 4 to 8 suit small GPUs; a wide one idles in a chain of small
// matrices unless each lane has only one block, which 256 ways give up to K = 8192.
constexpr uint32_t kMinSplit = 4;
constexpr uint32_t kMaxSplit = 256;
// A lane takes two quads where one quad a lane, this many ways of K each, would fill the device.
constexpr uint32_t kTwoQuadsWays = 128;

// Shared memory of gemv a lane: the sums of a quad and a sum of squares.
constexpr uint32_t kLaneShared = 20;

// The nibbles' binding.
constexpr uint32_t kTextureImages = 1u << 2;

bool one_row(const LinearArgs& args) {
  return args.tokens == 1 || args.last_row;
}

bool splits_k(const Caps& caps, const LinearArgs& args) {
  return one_row(args) && (caps.features & kScalarLoads) == 0;
}

uint32_t format_of(const LinearArgs& args) {
  return (args.f32_scales ? LINEAR_F32_SCALES : LINEAR_F16_SCALES) |
         (args.eight_bits ? LINEAR_EIGHT_BITS : 0);
}

// Enough ways to give every lane of the device work, but no lane less than a block.
uint32_t choose_split(const Caps& caps, const LinearPush& push, uint32_t lane_quads,
                      uint32_t max_local) {
  uint32_t split = kMinSplit;
  while (split < kMaxSplit && split * 8 <= max_local &&
         uint64_t{split} * push.quads < uint64_t{caps.lanes} * lane_quads && split < push.blocks) {
    split *= 2;
  }
  return split;
}

// Two quads a lane read x half as often. That pays where a matrix fills a wide device anyway.
uint32_t choose_lane_quads(const Caps& caps, const LinearPush& push) {
  const bool wide = caps.kind == DeviceKind::discrete;
  return wide && push.quads * uint64_t{kTwoQuadsWays} >= caps.lanes ? 2 : 1;
}

Status call_gemv(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  const LinearPush push = linear_push(args);
  const uint32_t max_local = min_of(min_of(caps.max_invocations, caps.max_workgroup_x),
                                    caps.max_shared_bytes / kLaneShared);
  const uint32_t lane_quads = choose_lane_quads(caps, push);
  const uint32_t split = choose_split(caps, push, lane_quads, max_local);
  // At least the four quads of a tile side by side, and 64 lanes.
  const uint32_t local = max_of(64u, 4 * split);
  const uint32_t images = args.texture ? kTextureImages : 0;
  NBL_TRY(pick(Family::gemv, caps, local, local * kLaneShared, &call->variant, error, images));
  call->spec_count = 4;
  call->spec[0] = local;
  call->spec[1] = split;
  call->spec[2] = push.flags | (args.norm ? GEMV_NORM : 0) |
                  (args.group_size < 32 ? GEMV_SMALL_GROUPS : 0) |
                  (args.f32_scales ? GEMV_F32_SCALES : 0) | (args.eight_bits ? GEMV_EIGHT_BITS : 0);
  call->spec[3] = lane_quads;
  set_grid_folded(call, div_up(push.quads, local / split * lane_quads), caps.max_grid[0]);
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
  if (args.texture) return {VariantId::gemm_texture, 4, 1};
  if ((caps.features & kScalarLoads) == 0) return {VariantId::gemm_floor, 4, 1};
  if (one_row(args)) return {VariantId::gemm_wide1, 1, 4};
  return {VariantId::gemm_wide4, 4, 4};
}

// Rows of x and of weight that a work-group takes (-DBM, -DBN in variants.def), and the work-groups
// that it wants for every four cores.
struct Block {
  VariantId variant;
  uint32_t tokens;
  uint32_t rows;
  uint32_t groups;
};

// Of each kind the largest first: what it reads and decodes is reused most, but it leaves a device
// idle that has more cores than blocks. Cooperative matrices round operands to f16; the last kind
// is f32 throughout.
constexpr Block kBlocks[] = {
    {VariantId::gemm_matrix_large, 64, 128, 6}, {VariantId::gemm_matrix, 64, 64, 3},
    {VariantId::gemm_matrix_small, 32, 64, 0},  {VariantId::gemm_block_large, 128, 128, 3},
    {VariantId::gemm_block, 64, 64, 3},         {VariantId::gemm_block_small, 32, 64, 0}};

// Below this many tokens most of a block is padding.
constexpr uint32_t kMinBlockTokens = 9;
// A device this wide has 100 and more registers a lane for a block's sums; small GPUs would spill.
constexpr uint32_t kMinBlockLanes = 16384;
constexpr uint32_t kLanesOfCore = 2048;
// Plans for many tokens keep a second dispatch for steps of up to this many where it pays.
constexpr uint32_t kFewTokens = 128;

uint64_t groups_of(const Block& block, const LinearPush& push) {
  return uint64_t{div_up(push.tokens, block.tokens)} * div_up(push.quads * 4, block.rows);
}

const Variant& variant_of(const Block& block) {
  return kVariants[static_cast<uint32_t>(block.variant)];
}

// Specialised to the device's matrices and subgroups.
bool on_matrices(const Variant& variant) {
  return (variant.needs & kCooperativeMatrix) != 0;
}

bool is_large(const Block& block) {
  return block.tokens * block.rows > 64 * 64;
}

// Lanes of a work-group. Kernels on matrices keep their subgroups, which have 32 lanes by default.
uint32_t local_of(const Caps& caps, const Variant& variant) {
  return on_matrices(variant) ? variant.local_x / 32 * caps.subgroup_size : variant.local_x;
}

// The first block that fits and keeps the device busy, else the last of its kind that fits; null
// where none does. A small GPU would spill the sums of all but matrix units.
const Block* first_block(const Caps& caps, const LinearPush& push) {
  const Block* chosen = nullptr;
  for (const Block& block : kBlocks) {
    const Variant& variant = variant_of(block);
    if (caps.lanes < kMinBlockLanes && (!on_matrices(variant) || is_large(block))) continue;
    if (!fits(variant, caps, local_of(caps, variant), 0)) continue;
    if (chosen != nullptr && variant_of(*chosen).needs != variant.needs) break;
    chosen = &block;
    if (groups_of(block, push) * 4 >= uint64_t{caps.lanes / kLanesOfCore} * block.groups) break;
  }
  return chosen;
}

// Null where the device or the work is too small for any.
const Block* choose_block(const Caps& caps, const LinearArgs& args, const LinearPush& push) {
  if (args.texture || args.eight_bits) return nullptr;  // blocks read nibbles in buffers
  if (one_row(args) || args.tokens < kMinBlockTokens) return nullptr;
  if ((caps.features & kScalarLoads) != 0) return nullptr;
  const Block* block = first_block(caps, push);
  if (block == nullptr || div_up(push.tokens, block->tokens) > caps.max_grid[2]) return nullptr;
  return block;
}

void call_block(const Caps& caps, const Block& block, const LinearArgs& args, KernelCall* call) {
  const LinearPush push = linear_push(args);
  const Variant& variant = variant_of(block);
  call->variant = static_cast<uint16_t>(block.variant);
  call->spec_count = variant.spec_count;
  const uint32_t spec[] = {format_of(args), local_of(caps, variant), caps.matrix_m, caps.matrix_n,
                           caps.matrix_k};
  for (uint32_t i = 0; i < variant.spec_count; ++i)
    call->spec[i] = spec[i];
  set_grid_folded(call, div_up(push.quads * 4, block.rows), caps.max_grid[0]);
  call->grid[2] = div_up(push.tokens, block.tokens);
  set_push(call, push);
}

Status call_tile(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  const LinearPush push = linear_push(args);
  if (const Block* block = choose_block(caps, args, push)) {
    call_block(caps, *block, args, call);
    return {};
  }
  const Tile tile = choose_tile(caps, args);
  // Lanes share nothing. One subgroup a workgroup spreads a small matrix over a CPU's cores.
  const uint32_t one = min_of(max_of(caps.subgroup_size, 8u), 64u);
  const uint32_t local = (caps.features & kScalarLoads) != 0 ? one : 64;
  const Variant& variant = kVariants[static_cast<uint32_t>(tile.variant)];
  if (!fits(variant, caps, local, 0)) {
    return does_not_fit(static_cast<uint32_t>(tile.variant), caps, local, error);
  }
  const uint32_t token_tiles = args.last_row ? 1 : div_up(args.tokens, tile.tokens);
  if (token_tiles > caps.max_grid[2]) {
    return fail(error, Code::device_limit, static_cast<uint32_t>(tile.variant), "linear tokens",
                token_tiles, caps.max_grid[2]);
  }
  call->variant = static_cast<uint16_t>(tile.variant);
  call->spec_count = 2;
  call->spec[0] = local;
  call->spec[1] = format_of(args);
  set_grid_folded(call, div_up(push.quads, local * tile.quads), caps.max_grid[0]);
  call->grid[2] = token_tiles;
  set_push(call, push);
  return {};
}

}  // namespace

LinearPush linear_push(const LinearArgs& args) {
  uint32_t flags = 0;
  if (args.bias) flags |= LINEAR_BIAS;
  if (args.residual) flags |= LINEAR_RESIDUAL;
  if (args.swiglu) flags |= LINEAR_SWIGLU;
  if (args.gelu) flags |= LINEAR_GELU;
  if (args.last_row) flags |= LINEAR_LAST_ROW;
  flags |= args.few << LINEAR_FEW;
  return {.tokens = args.tokens,
          .rows = args.rows,
          .row_begin = args.row_begin,
          .quads = args.row_count / 4,
          .columns = args.columns,
          .blocks = div_up(args.columns, 32u),
          .k_words = q4_padded_columns(args.columns, args.group_size) / 8,
          .group_shift = static_cast<uint32_t>(std::countr_zero(args.group_size / 8)),
          .out_stride = row_stride(args.swiglu ? args.rows / 2 : args.rows),
          .flags = flags,
          .eps = args.eps};
}

bool linear_fuses_norm(const Caps& caps, const LinearArgs& args) {
  return splits_k(caps, args) && args.columns % 4 == 0;
}

uint32_t linear_few_tokens(const Caps& caps, const LinearArgs& args) {
  if (args.tokens <= kFewTokens) return 0;
  LinearPush push = linear_push(args);
  const Block* all = choose_block(caps, args, push);
  push.tokens = kFewTokens;
  const Block* few = choose_block(caps, args, push);
  return all == nullptr || few == nullptr || all == few ? 0 : kFewTokens;
}

Status call_linear(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(!args.norm || linear_fuses_norm(caps, args));
  KernelCall made;
  NBL_TRY(splits_k(caps, args) ? call_gemv(caps, args, &made, error)
                               : call_tile(caps, args, &made, error));
  if (args.texture) add_first_texel(&made);
  *call = made;
  return {};
}

}  // namespace nbl
