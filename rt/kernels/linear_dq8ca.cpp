#include "rt/kernels/linear_dq8ca.h"

#include "rt/kernels/variants.h"
#include "rt/model/model.h"

namespace nbl {
namespace {

// Ranges that K is dealt to. Enough to give a lane of the device each work for one row; a
// work-group adds them up one after the other, so no more than it can hide.
constexpr uint32_t kMinWays = 4;
constexpr uint32_t kMaxWays = 64;

// An optimiser that drops a trailing member that the shader leaves unread would change the size.
static_assert(spirv::facts_linear_dq8ca_block.push_bytes == sizeof(LinearPush));
static_assert(spirv::facts_linear_dq8ca_dot.push_bytes == sizeof(LinearPush));
static_assert(spirv::facts_linear_dq8ca_floor.push_bytes == sizeof(LinearPush));

// linear_dq8ca_block.comp: rows of x and of weight that a work-group takes. For devices that have
// 100 registers a lane.
constexpr uint32_t kBlockTokens = 32;
constexpr uint32_t kBlockRows = 64;
constexpr uint32_t kMinBlockLanes = 16384;

// What a work-item computes.
struct Tile {
  uint32_t tokens;
  uint32_t quads;
};

bool one_row(const LinearArgs& args) {
  return args.tokens == 1 || args.last_row;
}

uint32_t format_of(const LinearArgs& args) {
  return args.f32_scales ? LINEAR_F32_SCALES : LINEAR_F16_SCALES;
}

uint32_t max_local(const Caps& caps) {
  return min_of(caps.max_invocations, caps.max_workgroup_x);
}

bool takes_blocks(const Caps& caps) {
  const Variant& block = kVariants[static_cast<uint32_t>(VariantId::linear_dq8ca_block)];
  return (caps.features & kScalarLoads) == 0 && caps.lanes >= kMinBlockLanes &&
         fits(block, caps, block.local_x, 0);
}

// From the whole matrix, not from the window or the number of tokens: it decides the order of sums.
uint32_t choose_ways(const Caps& caps, const LinearArgs& args) {
  if ((caps.features & kScalarLoads) != 0) return 1;
  const uint64_t quads = q4_padded_rows(args.rows) / 4;
  const uint32_t groups = div_up(args.columns, args.group_size);
  uint32_t ways = 1;
  while (ways < kMaxWays && ways < groups && ways * 8 <= max_local(caps) &&
         (ways < kMinWays || ways * quads < caps.lanes)) {
    ways *= 2;
  }
  return ways;
}

// With kScalarLoads a lane reuses what it reads of x over 16 rows of the weight, as in linear.cpp.
Tile choose_tile(const Caps& caps, bool one_row) {
  const bool scalar = (caps.features & kScalarLoads) != 0;
  return {one_row ? 1u : 4u, scalar ? 4u : 1u};
}

void set_block(const Caps& caps, const LinearArgs& args, const LinearPush& push, KernelCall* call) {
  call->variant = static_cast<uint16_t>(VariantId::linear_dq8ca_block);
  call->spec_count = 3;
  call->spec[0] = choose_ways(caps, args);
  call->spec[1] = args.group_size / 8;
  call->spec[2] = format_of(args);
  set_grid_folded(call, div_up(push.quads * 4, kBlockRows), caps.max_grid[0]);
  call->grid[2] = div_up(args.tokens, kBlockTokens);
}

Status set_tile(const Caps& caps, const LinearArgs& args, const LinearPush& push, KernelCall* call,
                Error* error) {
  const bool scalar = (caps.features & kScalarLoads) != 0;
  const Tile tile = choose_tile(caps, one_row(args));
  const uint32_t ways = choose_ways(caps, args);
  const uint32_t split = one_row(args) ? ways : 1;
  // Lanes share nothing but the sums of a split. One subgroup a work-group spreads a small matrix
  // over a CPU's cores.
  const uint32_t local =
      scalar ? min_of(max_of(caps.subgroup_size, 8u), 64u) : max_of(64u, 4 * split);
  const uint32_t shared = local * 16;
  uint32_t variant = static_cast<uint32_t>(VariantId::linear_dq8ca_dot);
  if (!fits(kVariants[variant], caps, local, shared)) {
    variant = static_cast<uint32_t>(VariantId::linear_dq8ca_floor);
  }
  if (!fits(kVariants[variant], caps, local, shared)) {
    return does_not_fit(variant, caps, local, error);
  }
  call->variant = static_cast<uint16_t>(variant);
  call->spec_count = 7;
  call->spec[0] = local;
  call->spec[1] = tile.tokens;
  call->spec[2] = tile.quads;
  call->spec[3] = ways;
  call->spec[4] = split;
  call->spec[5] = args.group_size / 8;
  call->spec[6] = format_of(args);
  set_grid_folded(call, div_up(push.quads, local / split * tile.quads), caps.max_grid[0]);
  call->grid[2] = one_row(args) ? 1 : div_up(args.tokens, tile.tokens);
  return {};
}

}  // namespace

Status call_linear_dq8ca(const Caps& caps, const LinearArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(!args.norm && args.few == 0 && args.group_size % 8 == 0);
  const LinearPush push = linear_push(args);
  KernelCall made;
  if (!one_row(args) && takes_blocks(caps)) {
    set_block(caps, args, push, &made);
  } else {
    NBL_TRY(set_tile(caps, args, push, &made, error));
  }
  if (made.grid[2] > caps.max_grid[2]) {
    return fail(error, Code::device_limit, made.variant, "linear tokens", made.grid[2],
                caps.max_grid[2]);
  }
  set_push(&made, push);
  *call = made;
  return {};
}

}  // namespace nbl
