#include "rt/kernels/sdpa.h"

#include "rt/base/checked.h"
#include "rt/kernels/cache_type.h"
#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "spirv/sdpa.push.h"

namespace nbl {
namespace {

constexpr uint32_t kBlockPositions = 64;
constexpr uint32_t kMaxSplits = 64;
constexpr float kLog2E = 1.44269504f;
// Matrix units take 16 queries at a time, of 4 subgroups; fewer tokens would be padding mostly.
constexpr uint32_t kMatrixLocal = 128;
constexpr uint32_t kMatrixSide = 16;
constexpr uint32_t kMatrixQueries = 64;
constexpr uint32_t kMinMatrixTokens = 9;
constexpr uint32_t kLanesOfCore = 2048;  // of devices that have matrix units

struct Tile {
  VariantId variant;
  uint32_t local;
  uint32_t queries;  // that share the loads of a kv head's keys and values
};

// True where a variant on matrix units takes the whole of it.
bool on_matrices(const Caps& caps, const SdpaArgs& args, VariantId* variant) {
  if (args.tokens < kMinMatrixTokens || args.cache != DType::f16) return false;
  if (args.head_dim != 64 && args.head_dim != 128) return false;
  if (caps.subgroup_size != 32 || caps.matrix_m != kMatrixSide) return false;
  if (caps.matrix_n != kMatrixSide || caps.matrix_k != kMatrixSide) return false;
  *variant = args.head_dim == 64 ? VariantId::sdpa_matrix64 : VariantId::sdpa_matrix128;
  return fits(kVariants[static_cast<uint32_t>(*variant)], caps, kMatrixLocal, 0);
}

// Each query costs 2 * head_dim / lane registers a lane. Four fit the 64 registers of small
// embedded GPUs; wide devices and CPUs gain from eight.
Tile tile_of(const Caps& caps, const SdpaArgs& args) {
  VariantId matrix = VariantId::sdpa_floor;
  if (on_matrices(caps, args, &matrix)) return {matrix, kMatrixLocal, kMatrixQueries};
  const bool scalar = (caps.features & kScalarLoads) != 0;
  const uint32_t most = scalar || caps.kind == DeviceKind::discrete ? 8 : 4;
  const uint64_t queries = uint64_t{args.tokens} * (args.heads / args.kv_heads);
  const uint64_t tiles = div_up(queries, uint64_t{most});
  const VariantId id = args.head_dim % 8 != 0 ? VariantId::sdpa_floor
                       : scalar               ? VariantId::sdpa_quads
                                              : VariantId::sdpa_wide;
  return {id, scalar ? 8u : 64u, static_cast<uint32_t>(div_up(queries, tiles))};
}

uint32_t mode_of(const SdpaArgs& args) {
  return cache_mode(args.cache) | (args.window != 0 ? ATTEND_WINDOW : 0u) |
         (args.softcap > 0 ? ATTEND_SOFTCAP : 0u) | (args.full ? ATTEND_FULL : 0u) |
         (args.mask_stride != 0 ? ATTEND_MASK : 0u);
}

// Positions that the queries of a tile look at together, at most.
uint32_t span_of(const Tile& tile, const SdpaArgs& args) {
  if (args.window == 0) return args.context;
  const uint64_t tokens =
      args.full ? args.tokens : uint64_t{tile.queries} / (args.heads / args.kv_heads) + 1;
  return static_cast<uint32_t>(min_of(uint64_t{args.context}, args.window + tokens));
}

uint64_t tile_count(const Tile& tile, const SdpaArgs& args) {
  const uint64_t queries = uint64_t{args.tokens} * (args.heads / args.kv_heads);
  return div_up(queries, uint64_t{tile.queries});
}

void check(const SdpaArgs& args) {
  NBL_ASSERT(args.tokens > 0 && args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  NBL_ASSERT(args.head_dim > 0 && args.head_dim % 4 == 0 && args.head_dim <= kMaxHeadDim);
  NBL_ASSERT(args.window <= INT32_MAX);
  static_cast<void>(args);
}

}  // namespace

uint32_t sdpa_splits(const Caps& caps, const SdpaArgs& args) {
  check(args);
  // A few cores are busy with the kv heads alone, and the second dispatch costs more than it
  // brings.
  if (caps.features & kScalarLoads) return 1;
  const Tile tile = tile_of(caps, args);
  const uint64_t groups = tile_count(tile, args) * args.kv_heads;
  // Matrix units are kept busy by two work-groups a core, other devices by all their lanes.
  const uint64_t wanted = tile.queries == kMatrixQueries
                              ? 2 * uint64_t{caps.lanes / kLanesOfCore} / groups
                              : div_up(uint64_t{max_of(caps.lanes, 1u)}, groups * tile.local);
  // A split that never has more than one block does not earn its part in sdpa_combine.
  const uint64_t useful = div_up(span_of(tile, args), 2 * kBlockPositions);
  return static_cast<uint32_t>(
      max_of(uint64_t{1}, min_of(min_of(wanted, useful), uint64_t{kMaxSplits})));
}

SdpaPartialBytes sdpa_partial_bytes(const SdpaArgs& args, uint32_t splits) {
  if (splits <= 1) return {0, 0};
  const uint64_t rows = uint64_t{splits} * args.tokens * args.heads;
  return {rows * args.head_dim * 4, rows * 2 * 4};
}

Status call_sdpa(const Caps& caps, const SdpaArgs& args, KernelCall* call, Error* error) {
  check(args);
  const Tile tile = tile_of(caps, args);
  const uint32_t splits = args.splits == 0 ? sdpa_splits(caps, args) : args.splits;

  KernelCall made;
  made.variant = static_cast<uint16_t>(tile.variant);
  if (!fits(kVariants[made.variant], caps, tile.local, 0)) {
    return does_not_fit(made.variant, caps, tile.local, error);
  }
  if (tile.queries == kMatrixQueries) {
    made.spec_count = 4;
    made.spec[0] = mode_of(args);
    made.spec[1] = made.spec[2] = made.spec[3] = kMatrixSide;
  } else {
    made.spec_count = 4;
    made.spec[0] = tile.local;
    made.spec[1] = args.head_dim;
    made.spec[2] = tile.queries;
    made.spec[3] = mode_of(args);
  }
  const bool capped = args.softcap > 0;
  set_push(&made,
           SdpaPush{args.tokens, args.heads, args.kv_heads, args.heads / args.kv_heads,
                    row_stride(args.heads * args.head_dim) / 4, args.context, splits, args.window,
                    args.mask_stride, capped ? args.scale / args.softcap : args.scale * kLog2E,
                    args.softcap * kLog2E});
  NBL_TRY(fold_groups(caps, tile_count(tile, args) * args.kv_heads * splits, &made, error));
  *call = made;
  return {};
}

Status call_sdpa_combine(const Caps& caps, const SdpaArgs& args, KernelCall* call, Error* error) {
  check(args);
  const uint32_t splits = args.splits == 0 ? sdpa_splits(caps, args) : args.splits;
  const uint32_t stride4 = row_stride(args.heads * args.head_dim) / 4;
  KernelCall made;
  made.spec_count = 1;
  made.spec[0] = 64;
  NBL_TRY(pick(Family::sdpa_combine, caps, made.spec[0], 0, &made.variant, error));
  set_push(&made, SdpaCombinePush{args.tokens, args.heads, args.head_dim / 4, stride4, splits});
  NBL_TRY(fold_items(caps, uint64_t{args.tokens} * stride4, &made, error));
  *call = made;
  return {};
}

}  // namespace nbl
