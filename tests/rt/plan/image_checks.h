// What every plan with weights in images has to keep to, for tests of plans.
#pragma once

#include <gtest/gtest.h>

#include "rt/kernels/variants.h"
#include "rt/plan.h"
#include "spirv/texture.h"
#include "tests/support/random.h"

namespace nbl::test {

inline constexpr uint32_t kImageRowBytes = TEXTURE_TEXEL_BYTES << TEXTURE_WIDTH_LOG2;

// Images of any kind, also of none and of sizes that fit no weight.
inline void set_random_images(Random* random, Caps* caps) {
  constexpr uint32_t kDims[] = {0, 512, 1024, 1500, 4096, 16384};
  constexpr uint32_t kRows[] = {0, 1, 8, 64, 256, 5000};
  caps->max_image_dim = kDims[random->below(6)];
  caps->image_rows = kRows[random->below(6)];
  caps->image_rows_bytes = uint64_t{caps->image_rows} * (kImageRowBytes + random->below(2) * 512);
  caps->image_memory_bits = random->below(2) * 3;
  if (random->below(2) == 0) caps->features |= kTextureWeights;
}

// A binding is an image where the kernel reads one, lies inside it, and the kernel knows where.
inline void expect_image_binding_right(const Plan& plan, const Dispatch& d, uint32_t b) {
  const Variant& variant = kVariants[d.call.variant];
  const Binding& binding = d.bindings[b];
  const Block& block = plan.blocks[binding.block];
  if (b < variant.bindings) {
    EXPECT_EQ(block.image_rows != 0, (variant.images >> b & 1u) != 0) << variant.name;
  }
  if (block.image_rows == 0) {
    EXPECT_LE(binding.bytes, plan.caps.max_storage_range_bytes);
    return;
  }
  EXPECT_LE(binding.offset + binding.bytes, uint64_t{block.image_rows} * kImageRowBytes);
  EXPECT_EQ(d.call.push[d.call.push_words - 1], binding.offset / TEXTURE_TEXEL_BYTES);
}

inline void expect_image_block_right(const Block& block, const Caps& caps) {
  if (block.image_rows == 0) return;
  EXPECT_EQ(block.role, BlockRole::weights);
  EXPECT_FALSE(block.host_written || block.imported);
  EXPECT_LE(block.image_rows, caps.max_image_dim);
  EXPECT_EQ(block.image_rows % caps.image_rows, 0u);
  EXPECT_EQ(block.bytes, block.image_rows / caps.image_rows * caps.image_rows_bytes);
}

}  // namespace nbl::test
