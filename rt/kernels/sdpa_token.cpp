#include "rt/kernels/sdpa_token.h"

#include "rt/kernels/cache_type.h"
#include "rt/kernels/rope.h"
#include "rt/kernels/variants.h"
#include "spirv/sdpa_token.push.h"
#include "spirv/step_state.h"

namespace nbl {
namespace {

constexpr uint32_t kLanes = 128;  // positions of a block
constexpr uint32_t kMaxQueries = 8;
constexpr uint32_t kMaxSplits = 32;
constexpr float kLog2E = 1.44269504f;

// Has other bindings than its family, so that it is never picked by family.
const Variant& kVariant = kVariants[static_cast<uint32_t>(VariantId::sdpa_token)];

uint32_t splits_of(const SdpaTokenArgs& args) {
  const uint32_t span = args.window == 0 ? args.context : min_of(args.context, args.window);
  return min_of(div_up(span, kLanes), kMaxSplits);
}

// The arrays of sdpa_token.comp, in its order.
uint32_t shared_bytes(const SdpaTokenArgs& args) {
  const uint32_t queries = args.heads / args.kv_heads;
  const uint32_t chunks = args.head_dim / 8;
  const uint32_t shares = kLanes / chunks;
  return queries * args.head_dim * 4 + 2 * args.head_dim * 4 + queries * kLanes * 4 +
         queries * 16 * 4 + queries * shares * args.head_dim * 4 + queries * shares * 4 + 4;
}

}  // namespace

bool sdpa_token_fits(const Caps& caps, const SdpaTokenArgs& args) {
  if (caps.kind != DeviceKind::discrete && caps.cores == 0) return false;
  if ((caps.features & kScalarLoads) != 0) return false;
  // A device of the floor's workgroups, and a plan held to the floor, keep the separate kernels.
  if (caps.max_invocations <= kFloorInvocations) return false;
  if (args.head_dim % 8 != 0 || args.head_dim > kMaxHeadDim) return false;
  if (args.cache != DType::f16 && args.cache != DType::i8) return false;
  if (args.kv_heads > STEP_COUNTER_COUNT || args.heads > kMaxQueries * args.kv_heads) return false;
  return fits(kVariant, caps, kLanes, shared_bytes(args));
}

SdpaPartialBytes sdpa_token_partial_bytes(const SdpaTokenArgs& args) {
  const uint64_t rows = uint64_t{splits_of(args)} * args.heads;
  return {rows * args.head_dim * 4, rows * 2 * 4};
}

Status call_sdpa_token(const Caps& caps, const SdpaTokenArgs& args, KernelCall* call,
                       Error* error) {
  NBL_ASSERT(args.heads % args.kv_heads == 0 && args.rotary_dim % 2 == 0);
  if (!sdpa_token_fits(caps, args)) {
    return fail(error, Code::device_limit, static_cast<uint32_t>(VariantId::sdpa_token),
                kVariant.name, shared_bytes(args), caps.max_shared_bytes);
  }
  KernelCall made;
  made.variant = static_cast<uint16_t>(VariantId::sdpa_token);
  made.spec_count = 4;
  made.spec[0] = kLanes;
  made.spec[1] = args.head_dim;
  made.spec[2] = args.heads / args.kv_heads;
  made.spec[3] = cache_mode(args.cache) | (args.window != 0 ? ATTEND_WINDOW : 0u) |
                 (args.softcap > 0 ? ATTEND_SOFTCAP : 0u);
  made.grid[0] = splits_of(args);
  made.grid[1] = args.kv_heads;
  set_push(&made,
           SdpaTokenPush{args.heads, args.kv_heads, row_stride(args.heads * args.head_dim) / 4,
                         args.context, splits_of(args), args.rotary_dim,
                         rope_pair_offset(args.rotary_dim, args.half), args.window,
                         args.softcap > 0 ? args.scale / args.softcap : args.scale * kLog2E,
                         args.softcap * kLog2E});
  *call = made;
  return {};
}

}  // namespace nbl
