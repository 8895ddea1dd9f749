// What could break: a family without a floor, a choice that the device cannot run, an error that
// does not say which limit was short.
#include "rt/kernels/variants.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

namespace nbl::test {
namespace {

constexpr uint32_t kMagic = 0x07230203;

TEST(Variants, every_family_ends_in_a_floor_variant) {
  for (uint32_t f = 0; f < kFamilyCount; ++f) {
    uint16_t variant = 0;
    Error error;
    ASSERT_TRUE(pick(static_cast<Family>(f), floor_caps(), 128, 0, &variant, &error).ok())
        << "family " << f;
    const Variant& v = kVariants[variant];
    EXPECT_EQ(v.family, static_cast<Family>(f));
    EXPECT_EQ(v.needs, kNoFeatures) << v.name;
    EXPECT_LE(v.bindings, 8) << v.name;
    EXPECT_LE(v.push_bytes, 128) << v.name;
    EXPECT_LE(v.shared_bytes, 16384u) << v.name;
  }
}

// Of one model: its linears take float32 activations or int8 ones, and its attention is sdpa's
// kernels or a graph's softmax. Chains run on no device of the floor.
TEST(Variants, the_floor_variants_of_a_model_fit_their_size_budget) {
  uint32_t common = 0, f32 = 0, int8 = 0;
  for (const Variant& v : kVariants) {
    if (!std::string_view(v.name).ends_with("_floor")) continue;
    switch (v.family) {
      case Family::gemv:
      case Family::gemm:
        f32 += v.word_bytes;
        break;
      case Family::quantize_rows:
      case Family::linear_dq8ca:
        int8 += v.word_bytes;
        break;
      case Family::softmax:  // smaller than sdpa
      case Family::chain:
        break;
      default:
        common += v.word_bytes;
    }
  }
  EXPECT_LE(common + f32, 128u << 10);
  EXPECT_LE(common + int8, 128u << 10);
}

TEST(Variants, words_are_spirv_and_agree_with_their_checksum) {
  for (const Variant& v : kVariants) {
    const uint32_t* const words = kVariantWords[&v - kVariants];
    ASSERT_EQ(words[0], kMagic) << v.name;
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < v.word_bytes / 4; ++i) {
      crc ^= words[i];
      for (int bit = 0; bit < 32; ++bit)
        crc = (crc >> 1) ^ ((crc & 1) ? 0xedb88320u : 0u);
    }
    EXPECT_EQ(~crc, v.crc32) << v.name;
  }
}

TEST(Variants, names_are_unique) {
  std::set<std::string> names;
  for (const Variant& v : kVariants)
    EXPECT_TRUE(names.insert(v.name).second) << v.name;
}

TEST(Variants, the_best_row_that_the_features_allow_is_picked) {
  Caps caps = floor_caps();
  uint16_t variant = 0;
  ASSERT_TRUE(pick(Family::gemv, caps, 64, 0, &variant, nullptr).ok());
  EXPECT_STREQ(kVariants[variant].name, "gemv_floor");
  caps.features = kSubgroupShuffle;
  ASSERT_TRUE(pick(Family::gemv, caps, 64, 0, &variant, nullptr).ok());
  EXPECT_STREQ(kVariants[variant].name, "gemv_shuffle");
}

TEST(Variants, what_the_device_has_no_room_for_is_refused_by_name) {
  struct {
    uint32_t invocations, shared_bytes;
  } const cases[] = {{129, 0}, {64, 16385}};
  for (const auto& c : cases) {
    uint16_t variant = 77;
    Error error;
    const Status status =
        pick(Family::gemv, floor_caps(), c.invocations, c.shared_bytes, &variant, &error);
    EXPECT_EQ(status.code(), Code::device_limit);
    EXPECT_STREQ(error.name, "gemv_floor");
    EXPECT_EQ(variant, 77) << "the output must stay untouched";
  }
  Caps few_buffers = floor_caps();
  few_buffers.max_storage_buffers = 4;
  uint16_t variant = 77;
  EXPECT_EQ(pick(Family::gemv, few_buffers, 64, 0, &variant, nullptr).code(), Code::device_limit);
  EXPECT_TRUE(pick(Family::embedding, few_buffers, 64, 0, &variant, nullptr).ok());
}

}  // namespace
}  // namespace nbl::test
