#include "rt/kernels/chain.h"

#include <bit>

#include "rt/base/checked.h"
#include "rt/kernels/variants.h"
#include "spirv/cache_mode.h"
#include "spirv/linear.push.h"
#include "spirv/sdpa_token.push.h"

namespace nbl {
namespace {

constexpr uint32_t kLanes = 512;
constexpr uint32_t kFloorLanes = 128;
// Every lane of a work-group walks through the program. Half of them do it faster where a record
// leaves a work-group less than this to read (H100: 5 % of a token of a model of 135 million
// parameters).
constexpr uint64_t kSmallBytes = 16384;
constexpr uint32_t kWordsOfSlice = 16;  // of 8 columns
constexpr uint32_t kMatrixGroupShift =
    2;  // log2 of the words of a group that matrices take at least

bool shuffles(const Caps& caps) {
  return (caps.features & kSubgroupShuffle) != 0 && caps.subgroup_size == CHAIN_TEAM &&
         min_of(caps.max_invocations, caps.max_workgroup_x) >= kLanes;
}

uint32_t most_lanes(const Caps& caps) {
  return shuffles(caps) ? kLanes : kFloorLanes;
}

// vec4s of shared memory that hold x, or an attention's parts.
uint32_t pool_of(const Caps& caps, const ChainShape& shape, uint32_t lanes) {
  if (shape.head_dim == 0) return shape.x_quads;
  const uint32_t parts = shuffles(caps) ? lanes / CHAIN_TEAM : lanes / (shape.head_dim / 8);
  return max_of(shape.x_quads, parts * shape.queries * shape.head_dim / 4);
}

// The arrays of chain.comp and what it includes.
uint32_t shared_bytes(const Caps& caps, const ChainShape& shape, uint32_t lanes) {
  const uint32_t teams = lanes / CHAIN_TEAM;
  const uint32_t positions = shuffles(caps) ? lanes / 2 : lanes;  // of a block of keys
  const uint32_t dim = max_of(shape.head_dim, 32u);
  const uint32_t queries = max_of(shape.queries, 1u);
  const uint32_t parts = shuffles(caps) ? teams : lanes / (dim / 8);
  const uint32_t linear = pool_of(caps, shape, lanes) * 18 + teams * (4 + 2 * 16) + 8 * 16 +
                          (shuffles(caps) ? 0 : lanes * 16);
  const uint32_t attention = queries * dim * 4 + 2 * dim * 4 + 2 * queries * positions * 4 +
                             2 * queries * teams * 4 + queries * parts * 4 + 2 * queries * 4;
  return linear + attention + 4 * CHAIN_WORDS * 4 + 16;
}

bool fits_lanes(const Caps& caps, const ChainShape& shape, uint32_t lanes) {
  return shared_bytes(caps, shape, lanes) <= caps.max_shared_bytes;
}

VariantId on_lanes(const Caps& caps) {
  return shuffles(caps) ? VariantId::chain_shuffle : VariantId::chain_floor;
}

bool has_matrices(const Caps& caps) {
  constexpr VariantId kId = VariantId::chain_matrix;
  const uint32_t needs = kVariants[static_cast<uint32_t>(kId)].needs;
  return shuffles(caps) && (caps.features & needs) == needs && is_linked(kId);
}

// As few as a chain may have.
uint32_t least_lanes(const Caps& caps) {
  return shuffles(caps) ? kLanes / 2 : kFloorLanes;
}

LinearPush linear_of(const KernelCall& call) {
  LinearPush push;
  memcpy(&push, call.push, sizeof push);
  return push;
}

SdpaTokenPush attention_of(const KernelCall& call) {
  SdpaTokenPush push;
  memcpy(&push, call.push, sizeof push);
  return push;
}

bool is_attention(const KernelCall& call) {
  return call.variant == static_cast<uint16_t>(VariantId::sdpa_token);
}

bool join_attention(const KernelCall& call, ChainShape* shape) {
  const uint32_t dim = call.spec[1];
  const uint32_t queries = call.spec[2];
  const uint32_t kv_heads = attention_of(call).kv_heads;
  if (dim != 32 && dim != 64 && dim != 128) return false;
  if ((call.spec[3] & CACHE_MASK) != CACHE_F16) return false;
  if (shape->head_dim != 0 &&
      (shape->head_dim != dim || shape->queries != queries || shape->kv_heads != kv_heads)) {
    return false;
  }
  shape->head_dim = dim;
  shape->queries = queries;
  shape->kv_heads = kv_heads;
  return true;
}

bool join_linear(const KernelCall& call, ChainShape* shape) {
  const Variant& variant = kVariants[call.variant];
  if (variant.family != Family::gemv || variant.images != 0) return false;
  // What the gate is added to would lie between the quads of a row.
  constexpr uint32_t kBoth = LINEAR_SWIGLU | LINEAR_RESIDUAL;
  const uint32_t flags = linear_of(call).flags;
  if ((flags & kBoth) == kBoth) return false;
  if ((call.spec[2] & GEMV_EIGHT_BITS) != 0) return false;
  const uint32_t scales =
      (call.spec[2] & GEMV_F32_SCALES) != 0 ? LINEAR_F32_SCALES : LINEAR_F16_SCALES;
  if (shape->linear && shape->scales != scales) return false;
  shape->linear = true;
  shape->scales = scales;
  shape->small_groups |= linear_of(call).group_shift < kMatrixGroupShift;
  const uint32_t slices = div_up(linear_of(call).k_words, kWordsOfSlice);
  shape->x_quads = max_of(shape->x_quads, 2 * slices * kWordsOfSlice);
  return true;
}

using Places = std::span<const ChainPlace>;

uint32_t place(Places places, uint32_t binding, uint32_t element_bytes) {
  return static_cast<uint32_t>(places[binding].bytes / element_bytes);
}

// `flag` where a binding's row is a message.
uint32_t message_flag(Places places, uint32_t binding, uint32_t flag) {
  return places[binding].message ? flag : 0;
}

// log2 of how many teams share a unit, so that all have work.
uint32_t sharing_of(uint32_t units_of_group, uint32_t teams) {
  uint32_t shared = 0;
  while (units_of_group << (shared + 1) <= teams)
    ++shared;
  return shared;
}

void write_linear(const Caps& caps, const ChainShape& shape, const KernelCall& call, Places places,
                  std::span<uint32_t> r) {
  const LinearPush push = linear_of(call);
  const uint32_t teams = shape.lanes / CHAIN_TEAM;
  const uint32_t units = push.quads / 2;
  const uint32_t units_of_group = div_up(units, caps.cores);
  const uint32_t shared = sharing_of(units_of_group, teams);
  const uint32_t slices = div_up(push.k_words, kWordsOfSlice);
  const bool swiglu = (push.flags & LINEAR_SWIGLU) != 0;
  const uint32_t begin = swiglu ? push.row_begin / 2 : push.row_begin;
  constexpr uint32_t kFlags = LINEAR_BIAS | LINEAR_RESIDUAL | LINEAR_SWIGLU | LINEAR_GELU;
  r[CHAIN_FLAGS] = (push.flags & kFlags) | (call.spec[2] & GEMV_NORM) |
                   message_flag(places, 1, CHAIN_X_MESSAGE) |
                   message_flag(places, 4, CHAIN_OUT_MESSAGE) |
                   message_flag(places, 7, CHAIN_RESIDUAL_MESSAGE);
  r[CHAIN_WEIGHT] = place(places, 2, 16);
  r[CHAIN_SCALES] = place(places, 3, 8);
  r[CHAIN_X] = place(places, 1, 4);
  r[CHAIN_OUT] = place(places, 4, 4) + begin;
  r[CHAIN_NORM] = place(places, 5, 16);
  r[CHAIN_BIAS] = place(places, 6, 4) + push.row_begin;
  r[CHAIN_RESIDUAL] = place(places, 7, 4) + begin;
  r[CHAIN_UNITS] = units / caps.cores | units % caps.cores << 24;
  r[CHAIN_K_WORDS] = push.k_words;
  r[CHAIN_SHIFTS] = push.group_shift | shared << 8;
  r[CHAIN_COLUMNS] = push.columns;
  r[CHAIN_EPS] = std::bit_cast<uint32_t>(push.eps);
  r[CHAIN_LIVE_ROWS] = push.rows - min_of(push.rows, push.row_begin);
  r[CHAIN_TURNS] = div_up(units_of_group, teams >> shared);
  r[CHAIN_ROUNDS] = div_up(slices, uint32_t{CHAIN_SLOTS} << shared);
}

// As long as there is a work-group for each block of positions of each head, one query a work-group
// is faster than those of a kv head one after the other (H100: 7 % of a token).
uint32_t lone_blocks(const Caps& caps, uint32_t heads) {
  return caps.cores / heads;
}

// No more than there are work-groups for: the first one waits for the others.
uint32_t splits_of(const Caps& caps, const SdpaTokenPush& push) {
  return min_of(push.splits, max_of(caps.cores / push.kv_heads, 1u));
}

void write_attention(const Caps& caps, const KernelCall& call, Places places,
                     std::span<uint32_t> r) {
  const SdpaTokenPush push = attention_of(call);
  r[CHAIN_FLAGS] = CHAIN_ATTENTION | message_flag(places, 1, CHAIN_X_MESSAGE) |
                   message_flag(places, 5, CHAIN_OUT_MESSAGE);
  r[CHAIN_TABLE] = place(places, 2, 4);
  r[CHAIN_K_CACHE] = place(places, 3, 16);
  r[CHAIN_V_CACHE] = place(places, 4, 16);
  r[CHAIN_QKV] = place(places, 1, 4);
  r[CHAIN_RESULT] = place(places, 5, 4);
  r[CHAIN_PARTS] = place(places, kChainParts, 4);
  r[CHAIN_LONE_BLOCKS] = lone_blocks(caps, push.kv_heads * call.spec[2]);
  r[CHAIN_SPLITS] = splits_of(caps, push);
  r[CHAIN_CONTEXT] = push.context;
  r[CHAIN_ROTARY] = push.rotary_dim | push.pair_offset << 16;
  r[CHAIN_WINDOW] = push.window;
  r[CHAIN_QUERY_SCALE] = std::bit_cast<uint32_t>(push.query_scale);
  r[CHAIN_CAP] = std::bit_cast<uint32_t>(push.cap_log2e);
}

}  // namespace

bool join_chain(const Caps& caps, const KernelCall& call, ChainShape* shape) {
  ChainShape wider = *shape;
  const bool takes = is_attention(call) ? join_attention(call, &wider) : join_linear(call, &wider);
  if (!takes || !is_linked(on_lanes(caps))) return false;
  if (!fits_lanes(caps, wider, least_lanes(caps))) return false;
  *shape = wider;
  return true;
}

uint32_t chain_output(const KernelCall& call) {
  return is_attention(call) ? 5 : 4;
}

uint64_t chain_part_bytes(const Caps& caps, const KernelCall& call) {
  if (!is_attention(call)) return 0;
  const SdpaTokenPush push = attention_of(call);
  const uint64_t heads = uint64_t{push.kv_heads} * call.spec[2];
  return (splits_of(caps, push) - 1) * heads * (call.spec[1] + 2) * 4;
}

void settle_chain(const Caps& caps, uint64_t record_bytes, ChainShape* shape) {
  const bool small = record_bytes < kSmallBytes * caps.cores;
  const uint32_t most = most_lanes(caps);
  shape->matrices = has_matrices(caps) && !small && !shape->small_groups;
  shape->lanes = small || !fits_lanes(caps, *shape, most) ? least_lanes(caps) : most;
}

void write_chain_record(const Caps& caps, const ChainShape& shape, const KernelCall& call,
                        Places places, std::span<uint32_t> record) {
  if (is_attention(call)) {
    write_attention(caps, call, places, record);
  } else {
    write_linear(caps, shape, call, places, record);
  }
}

KernelCall call_chain(const Caps& caps, const ChainShape& shape, const ChainPush& push) {
  KernelCall call;
  call.variant = static_cast<uint16_t>(shape.matrices ? VariantId::chain_matrix : on_lanes(caps));
  call.spec_count = 7;
  call.spec[0] = shape.lanes;
  call.spec[1] = pool_of(caps, shape, shape.lanes);
  call.spec[2] = max_of(shape.head_dim, 32u);
  call.spec[3] = max_of(shape.queries, 1u);
  call.spec[4] = shape.scales;
  call.spec[5] = max_of(shape.kv_heads, 1u);
  call.spec[6] = caps.cores;
  call.grid[0] = caps.cores;
  set_push(&call, push);
  return call;
}

}  // namespace nbl
