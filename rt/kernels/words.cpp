#include "rt/kernels/variants.h"

namespace nbl {

constinit const uint32_t* const kVariantWords[kVariantCount] = {
#define NBL_VARIANT(family, how, source, needs, flags) spirv::family##_##how,
#include "rt/kernels/variants.def"
#undef NBL_VARIANT
};

}  // namespace nbl
