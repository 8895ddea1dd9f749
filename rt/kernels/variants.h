// The table of SPIR-V variants and the choice among them.
//
// Source  rt/kernels/variants.def (what there is, what it needs) joined with spirv/facts.def (what
//         the compiled words use).
#pragma once

#include <cstddef>
#include <cstdint>

#include "rt/base/limits.h"
#include "rt/base/status.h"
#include "rt/kernels/caps.h"

namespace nbl {

// Kernels that compute the same thing with the same bindings and push constants. One that reads its
// weights from a sampled image has it where the others have a storage buffer, and its push
// constants end in one word more (add_first_texel() in rt/kernels/call.h).
enum class Family : uint8_t {
  embedding,
  gemv,
  gemm,
  rms_norm,
  rope_update_cache,
  sdpa,
  sdpa_combine,
  argmax,
  sample,
  elementwise,
  copy,
  softmax,
  quantize_rows,
  linear_dq8ca,
  cache_rows,
  chain,
};
inline constexpr uint32_t kFamilyCount = static_cast<uint32_t>(Family::chain) + 1;

namespace spirv {
struct VariantFacts {
  uint32_t bindings, push_bytes, local_x, local_id, shared_bytes, spec_count, word_count, crc32;
  uint32_t capabilities, images;
};
#define NBL_FACTS(family, how, bindings, push, local, id, shared, spec, words, crc, capabilities, \
                  images)                                                                         \
  inline constexpr VariantFacts facts_##family##_##how{                                           \
      bindings, push, local, id, shared, spec, words, crc, capabilities, images};                 \
  extern const uint32_t family##_##how[words];
#include "spirv/facts.def"
#undef NBL_FACTS
}  // namespace spirv

struct Variant {
  const char* name;  // "<family>_<how>"
  uint32_t word_bytes;
  uint32_t needs;  // Feature
  uint32_t crc32;  // of the words
  Family family;
  uint8_t bindings;    // 0..bindings-1 of set 0
  uint8_t images;      // mask of those that are sampled images; the others are storage buffers
  uint8_t spec_count;  // constant ids 0..spec_count-1
  uint8_t push_bytes;
  uint8_t local_id;       // of the constant that sets local_x; past spec_count where none does
  uint16_t local_x;       // with the specialisation constants' defaults
  uint16_t shared_bytes;  // with the specialisation constants' defaults
  uint16_t capabilities;  // mask over the rows of spirv/capabilities.def
};
static_assert(sizeof(Variant) <= 32 + sizeof(void*) - 8);  // there is one for each row

// Index into kVariants of each row: VariantId::gemv_floor.
enum class VariantId : uint16_t {
#define NBL_VARIANT(family, how, source, needs, flags) family##_##how,
#include "rt/kernels/variants.def"
#undef NBL_VARIANT
};

inline constexpr uint32_t kVariantCount = 0
#define NBL_VARIANT(family, how, source, needs, flags) +1
#include "rt/kernels/variants.def"
#undef NBL_VARIANT
    ;

extern const Variant kVariants[kVariantCount];

// The words of each row. Apart from kVariants, in an object file of its own: an image that defines
// this table itself, null for what it does not want (nibblec compile --emit-kernels), links only
// the words that it names.
extern const uint32_t* const kVariantWords[kVariantCount];

inline bool is_linked(VariantId id) {
  return kVariantWords[static_cast<uint32_t>(id)] != nullptr;
}

// True where the variant is linked, the device has its features, and room for one workgroup of it.
//
// Units  shared_bytes: what the specialised kernel takes; 0 = the variant's default.
bool fits(const Variant& variant, const Caps& caps, uint32_t invocations, uint32_t shared_bytes);

// Why fits() said no. Errors  kernel_not_linked; device_limit, with the invocations.
Status does_not_fit(uint32_t variant, const Caps& caps, uint32_t invocations, Error* error);

// The first variant of the family that fits a workgroup of `invocations` and whose sampled images
// are the bindings in the mask `images`.
//
// Errors  does_not_fit() of the family's floor variant: not even that one fits.
Status pick(Family family, const Caps& caps, uint32_t invocations, uint32_t shared_bytes,
            uint16_t* variant, Error* error, uint32_t images = 0);

}  // namespace nbl
