// Could break: what a module asks of a device is read wrongly, so that a layout or a choice of
// kernel does not fit it, or a kind of binding passes that nobody makes descriptors for.
#include "spirv/reflect.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "rt/kernels/variants.h"

namespace nbl::test {
namespace {

std::vector<uint32_t> words_of(VariantId id) {
  const uint32_t* const words = kVariantWords[static_cast<size_t>(id)];
  return {words, words + kVariants[static_cast<size_t>(id)].word_bytes / 4};
}

// The first instruction with this opcode: its words, the opcode's first.
uint32_t* find_instruction(std::vector<uint32_t>* words, uint32_t opcode) {
  for (size_t at = 5; at < words->size(); at += (*words)[at] >> 16) {
    if (((*words)[at] & 0xffffu) == opcode) return &(*words)[at];
  }
  return nullptr;
}

TEST(Reflect, finds_in_the_committed_words_what_the_table_says) {
  for (const Variant& v : kVariants) {
    const spirv::Facts facts = spirv::reflect(words_of(static_cast<VariantId>(&v - kVariants)));
    EXPECT_EQ(facts.bindings, v.bindings) << v.name;
    EXPECT_EQ(facts.image_mask, v.images) << v.name;
    EXPECT_EQ(facts.push_bytes, v.push_bytes) << v.name;
    EXPECT_EQ(facts.local_x, v.local_x) << v.name;
    EXPECT_EQ(facts.local_id, v.local_id) << v.name;
    EXPECT_EQ(facts.shared_bytes, v.shared_bytes) << v.name;
    EXPECT_EQ(facts.spec_count, v.spec_count) << v.name;
    EXPECT_EQ(facts.capability_mask, v.capabilities) << v.name;
  }
}

TEST(Reflect, takes_the_values_of_specialisation_constants) {
  const std::vector<uint32_t> words = words_of(VariantId::quantize_rows_floor);
  const spirv::Facts usual = spirv::reflect(words);
  const spirv::Facts half = spirv::reflect(words, {usual.local_x / 2});
  EXPECT_EQ(half.local_x, usual.local_x / 2);
  EXPECT_EQ(usual.local_id, 0u);
  // A vec2 a work-item, sized by the work-group.
  EXPECT_EQ(usual.shared_bytes - half.shared_bytes, 8 * (usual.local_x / 2));
}

TEST(Reflect, tells_the_constant_that_sets_the_work_group_s_size) {
  EXPECT_EQ(spirv::reflect(words_of(VariantId::gemm_matrix)).local_id, 1u);
  EXPECT_EQ(spirv::reflect(words_of(VariantId::sdpa_matrix64)).local_id, spirv::kNoConstant);
}

TEST(Reflect, tells_the_bindings_that_are_images) {
  EXPECT_EQ(spirv::reflect(words_of(VariantId::embedding_texture)).image_mask, 1u << 1);
  EXPECT_EQ(spirv::reflect(words_of(VariantId::embedding_floor)).image_mask, 0u);
  for (const VariantId id :
       {VariantId::gemv_texture, VariantId::gemv_texture_shuffle, VariantId::gemm_texture}) {
    EXPECT_EQ(spirv::reflect(words_of(id)).image_mask, 1u << 2);
  }
}

TEST(Reflect, refuses_images_that_are_not_sampled_and_flat) {
  constexpr uint32_t kOpTypeImage = 25;
  constexpr size_t kDimension = 3, kSampled = 7;  // words of the instruction
  const struct {
    size_t word;
    uint32_t value;
  } changes[] = {{kDimension, 2}, {kDimension, 5}, {kSampled, 2}, {kSampled, 0}};
  for (const auto& change : changes) {
    std::vector<uint32_t> words = words_of(VariantId::gemm_texture);
    uint32_t* image = find_instruction(&words, kOpTypeImage);
    ASSERT_NE(image, nullptr);
    image[change.word] = change.value;
    EXPECT_THROW(spirv::reflect(words), std::runtime_error);
  }
}

TEST(Reflect, refuses_words_that_are_cut_or_no_module) {
  std::vector<uint32_t> words = words_of(VariantId::embedding_floor);
  words.resize(6);  // half of the first instruction
  EXPECT_THROW(spirv::reflect(words), std::runtime_error);
  EXPECT_THROW(spirv::reflect({1, 2, 3}), std::runtime_error);
}

}  // namespace
}  // namespace nbl::test
