#include "rt/kernels/variants.h"

#include "rt/base/checked.h"

namespace nbl {

constexpr Variant kVariants[kVariantCount] = {
#define NBL_VARIANT(family_, how, source, needs_, flags)        \
  {.name = #family_ "_" #how,                                   \
   .word_bytes = 4 * spirv::facts_##family_##_##how.word_count, \
   .needs = needs_,                                             \
   .crc32 = spirv::facts_##family_##_##how.crc32,               \
   .family = Family::family_,                                   \
   .bindings = spirv::facts_##family_##_##how.bindings,         \
   .images = spirv::facts_##family_##_##how.images,             \
   .spec_count = spirv::facts_##family_##_##how.spec_count,     \
   .push_bytes = spirv::facts_##family_##_##how.push_bytes,     \
   .local_id = spirv::facts_##family_##_##how.local_id,         \
   .local_x = spirv::facts_##family_##_##how.local_x,           \
   .shared_bytes = spirv::facts_##family_##_##how.shared_bytes, \
   .capabilities = spirv::facts_##family_##_##how.capabilities},
#include "rt/kernels/variants.def"
#undef NBL_VARIANT
};

namespace {

// The features behind a module's capabilities.
constexpr uint32_t features_of(uint32_t capabilities) {
  constexpr uint32_t kNeeds[] = {
#define NBL_CAPABILITY(name, number, needs) needs,
#include "spirv/capabilities.def"
#undef NBL_CAPABILITY
  };
  uint32_t features = kNoFeatures;
  for (uint32_t i = 0; i < sizeof kNeeds / sizeof kNeeds[0]; ++i) {
    if (capabilities & (1u << i)) features |= kNeeds[i];
  }
  return features;
}

constexpr bool within_floor(const Variant& v) {
  return v.needs == kNoFeatures && v.local_x <= kFloorInvocations &&
         v.shared_bytes <= kFloorSharedBytes;
}

constexpr bool is_last_of_family(uint32_t index) {
  for (uint32_t i = index + 1; i < kVariantCount; ++i) {
    if (kVariants[i].family == kVariants[index].family) return false;
  }
  return true;
}

// Every row states what its module uses, and the last row of each family is the floor.
constexpr bool table_is_sound() {
  for (uint32_t i = 0; i < kVariantCount; ++i) {
    const Variant& v = kVariants[i];
    if ((features_of(v.capabilities) & ~v.needs) != 0) return false;
    if (v.bindings > kMaxBindings || v.push_bytes > 4 * kMaxPushWords) return false;
    if (v.spec_count > kMaxSpecConstants || v.local_x == 0) return false;
    if (is_last_of_family(i) && !within_floor(v)) return false;
    if ((v.images != 0) != ((v.needs & kTextureWeights) != 0)) return false;
  }
  return true;
}
static_assert(table_is_sound());

}  // namespace

bool fits(const Variant& variant, const Caps& caps, uint32_t invocations, uint32_t shared_bytes) {
  const uint32_t shared = shared_bytes == 0 ? variant.shared_bytes : shared_bytes;
  return kVariantWords[&variant - kVariants] != nullptr && (variant.needs & ~caps.features) == 0 &&
         invocations <= caps.max_invocations && invocations <= caps.max_workgroup_x &&
         shared <= caps.max_shared_bytes && variant.bindings <= caps.max_storage_buffers &&
         variant.push_bytes <= caps.max_push_bytes;
}

Status does_not_fit(uint32_t variant, const Caps& caps, uint32_t invocations, Error* error) {
  const char* const name = kVariants[variant].name;
  if (kVariantWords[variant] == nullptr) return fail(error, Code::kernel_not_linked, variant, name);
  return fail(error, Code::device_limit, variant, name, invocations,
              min_of(caps.max_invocations, caps.max_workgroup_x));
}

Status pick(Family family, const Caps& caps, uint32_t invocations, uint32_t shared_bytes,
            uint16_t* variant, Error* error, uint32_t images) {
  uint32_t last = 0;
  for (uint32_t i = 0; i < kVariantCount; ++i) {
    if (kVariants[i].family != family || kVariants[i].images != images) continue;
    last = i;
    if (fits(kVariants[i], caps, invocations, shared_bytes)) {
      *variant = static_cast<uint16_t>(i);
      return {};
    }
  }
  return does_not_fit(last, caps, invocations, error);
}

}  // namespace nbl
