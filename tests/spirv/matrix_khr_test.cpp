// Could break: an operand in the wrong place, an id twice, or a use that is not a type's: a module
// that no driver at hand may refuse, and that multiplies something else on another.
#include "spirv/matrix_khr.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "rt/kernels/variants.h"

namespace nbl::test {
namespace {

using Words = std::vector<uint32_t>;

Words instruction(uint32_t op, const Words& operands) {
  Words out{static_cast<uint32_t>(operands.size() + 1) << 16 | op};
  out.insert(out.end(), operands.begin(), operands.end());
  return out;
}

// Ids of a module in which a 3 x 5 and a 5 x 7 matrix are multiplied.
enum Id : uint32_t {
  kUint = 1,
  kFloat,
  kScope,
  kM,
  kN,
  kK,
  kTrue,
  kFalse,
  kLeft,
  kRight,
  kSum,
  kPointer,
  kStride,
  kA,
  kB,
  kC,
  kProduct,
  kVariable,
  kBound,
};

constexpr uint32_t kLoad = 61, kLoadNV = 5359, kStoreNV = 5360, kMulAddNV = 5361;

// "SPV_", "NV_c" and so on, in little endian words.
const Words kExtensionNV{0x5f565053, 0x635f564e, 0x65706f6f, 0x69746172,
                         0x6d5f6576, 0x69727461, 0x00000078};
const Words kExtensionKHR{0x5f565053, 0x5f52484b, 0x706f6f63, 0x74617265,
                          0x5f657669, 0x7274616d, 0x00007869};

Words head(uint32_t bound) {
  return {0x07230203, 0x00010300, 0, bound, 0};
}

struct Module {
  Words words;
  void add(uint32_t op, const Words& operands) {
    const Words one = instruction(op, operands);
    words.insert(words.end(), one.begin(), one.end());
  }
};

// more: an opcode and its operands, at the end.
Module module_with(const Words& more) {
  Module m{head(kBound)};
  m.add(17, {5357});
  m.add(10, kExtensionNV);
  m.add(21, {kUint, 32, 0});
  m.add(22, {kFloat, 16});
  m.add(41, {99, kTrue});
  m.add(42, {99, kFalse});
  m.add(5358, {kLeft, kFloat, kScope, kM, kK});
  m.add(5358, {kRight, kFloat, kScope, kK, kN});
  m.add(5358, {kSum, kFloat, kScope, kM, kN});
  m.add(kLoadNV, {kLeft, kA, kPointer, kStride, kFalse, 0x18, kScope});
  m.add(kLoadNV, {kRight, kB, kPointer, kStride, kTrue});
  m.add(kLoad, {kSum, kC, kVariable});
  m.add(kMulAddNV, {kSum, kProduct, kA, kB, kC});
  m.add(kStoreNV, {kPointer, kProduct, kStride, kFalse, 0x28, kScope});
  if (!more.empty()) {
    m.add(more[0], Words(more.begin() + 1, more.end()));
  }
  return m;
}

TEST(MatrixKhr, has_the_operands_of_the_other_extension) {
  // Ids of 0, 1 and 2: row and column major, and what a type is for.
  constexpr uint32_t kZero = kBound, kOne = kBound + 1, kTwo = kBound + 2;
  Module want{head(kBound + 3)};
  want.add(17, {6022});
  want.add(10, kExtensionKHR);
  want.add(21, {kUint, 32, 0});
  want.add(22, {kFloat, 16});
  want.add(41, {99, kTrue});
  want.add(42, {99, kFalse});
  want.add(43, {kUint, kZero, 0});
  want.add(43, {kUint, kOne, 1});
  want.add(43, {kUint, kTwo, 2});
  want.add(4456, {kLeft, kFloat, kScope, kM, kK, kZero});
  want.add(4456, {kRight, kFloat, kScope, kK, kN, kOne});
  want.add(4456, {kSum, kFloat, kScope, kM, kN, kTwo});
  want.add(4457, {kLeft, kA, kPointer, kZero, kStride, 0x18, kScope});
  want.add(4457, {kRight, kB, kPointer, kOne, kStride});
  want.add(kLoad, {kSum, kC, kVariable});
  want.add(4459, {kSum, kProduct, kA, kB, kC});
  want.add(4458, {kPointer, kProduct, kZero, kStride, 0x28, kScope});
  EXPECT_EQ(spirv::matrices_as_khr(module_with({}).words), want.words);
}

TEST(MatrixKhr, leaves_other_modules_as_they_are_but_for_the_bound) {
  const size_t floor = static_cast<size_t>(VariantId::gemm_floor);
  const uint32_t* const at = kVariantWords[floor];
  Words words(at, at + kVariants[floor].word_bytes / 4);
  const Words out = spirv::matrices_as_khr(words);
  words[3] += 3;
  EXPECT_EQ(out, words);
}

TEST(MatrixKhr, refuses_what_it_cannot_know) {
  const auto refused = [](const Words& code) {
    EXPECT_THROW((void)spirv::matrices_as_khr(module_with(code).words), std::runtime_error);
  };
  refused({kMulAddNV, kSum, 50, kB, kA, kC});  // both factors are left and right
  refused({kMulAddNV, kLeft, 50, kA, kB, kA});
  refused({kMulAddNV, kSum, 50, 70, kB, kC});                // a factor from nowhere
  refused({kStoreNV, kPointer, kProduct, kStride, kScope});  // a layout that is no constant
  refused({5358, 51, kFloat, kScope, kM, kM});               // nothing is done with it
  refused({5362, kUint, 52, kLeft});                         // its length
  EXPECT_THROW((void)spirv::matrices_as_khr({1, 2, 3, 4, 5}), std::runtime_error);
  Words cut = module_with({}).words;
  cut.pop_back();
  EXPECT_THROW((void)spirv::matrices_as_khr(cut), std::runtime_error);
}

TEST(MatrixKhr, is_what_the_committed_kernels_are) {
  for (const VariantId id : {VariantId::gemm_matrix, VariantId::gemm_matrix_small,
                             VariantId::sdpa_matrix64, VariantId::chain_matrix}) {
    const Variant& variant = kVariants[static_cast<size_t>(id)];
    const uint32_t* const words = kVariantWords[static_cast<size_t>(id)];
    uint32_t types = 0, products = 0, older = 0;
    for (size_t at = 5; at < variant.word_bytes / 4; at += words[at] >> 16) {
      const uint32_t op = words[at] & 0xffffu;
      types += op == 4456 ? 1 : 0;
      products += op == 4459 ? 1 : 0;
      older += op >= 5358 && op <= 5362 ? 1 : 0;
    }
    EXPECT_EQ(types, 3u) << variant.name;
    EXPECT_GT(products, 0u) << variant.name;
    EXPECT_EQ(older, 0u) << variant.name;
  }
}

}  // namespace
}  // namespace nbl::test
