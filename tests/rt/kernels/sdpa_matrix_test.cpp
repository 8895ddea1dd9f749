// What could break on matrix units: tiles that a step fills in part, queries of one token in two
// tiles, blocks that a row sees nothing of, keys past the end (NaN here) that a weight of 0 does
// not hide, splits without a block, and the choice of the kernel.
#include <gtest/gtest.h>

#include "rt/kernels/sdpa.h"
#include "rt/kernels/variants.h"
#include "tests/support/attention.h"

namespace nbl::test {
namespace {

struct Case {
  const char* name;
  uint32_t heads, kv_heads, head_dim, tokens;
  uint32_t window = 0;
  float softcap = 0;
  bool full = false;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

SdpaArgs args_of(const Case& c, uint32_t context, uint32_t splits) {
  SdpaArgs args{c.tokens,   c.heads, c.kv_heads,
                c.head_dim, context, 1.0f / std::sqrt(static_cast<float>(c.head_dim)),
                splits};
  args.window = c.window;
  args.softcap = c.softcap;
  args.full = c.full;
  return args;
}

class SdpaMatrix : public testing::TestWithParam<Case> {};

TEST_P(SdpaMatrix, attends_as_the_reference_does) {
  NBL_REQUIRE_GPU(gpu);
  if (!attends_on_matrices(gpu->caps(), args_of(GetParam(), 512, 1))) {
    GTEST_SKIP() << "the device has no cooperative matrices";
  }
  const Case& c = GetParam();
  Random random(c.heads * 1000003 + c.head_dim);
  for (const uint32_t live : {1u, c.tokens / 2, c.tokens - 1, c.tokens}) {
    for (const uint32_t input_pos : {0u, 1u, 31u, 64u, 203u}) {
      for (const uint32_t splits : {1u, 3u}) {
        const uint32_t context = input_pos + live + random.below(2) * 29;
        const SdpaArgs args = args_of(c, context, splits);
        ASSERT_TRUE(attends_on_matrices(gpu->caps(), args));
        Caches caches(c.kv_heads, context, c.head_dim, DType::f16);
        for (uint32_t h = 0; h < c.kv_heads; ++h) {
          for (uint32_t p = 0; p < input_pos + live; ++p) {
            caches.set_row(&caches.k, h, p, random.normals(c.head_dim));
            caches.set_row(&caches.v, h, p, random.normals(c.head_dim));
          }
        }
        const auto q = random.normals(size_t{live} * c.heads * c.head_dim);
        expect_attention(gpu, gpu->caps(), args, caches, q, {input_pos, live},
                         all_queries(live, c.heads));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SdpaMatrix,
    testing::Values(Case{"tiles_of_one_head", 3, 3, 64, 65}, Case{"tiles_of_three", 9, 3, 64, 43},
                    Case{"few_tokens", 8, 2, 64, 9}, Case{"wide_heads", 10, 2, 128, 33},
                    Case{"one_wide_head", 1, 1, 128, 127}, Case{"window", 8, 2, 64, 50, 17},
                    Case{"window_wide", 4, 4, 128, 50, 70}, Case{"capped", 6, 2, 64, 21, 0, 3},
                    Case{"capped_window_wide", 6, 2, 128, 21, 40, 5},
                    Case{"full", 4, 1, 64, 40, 0, 0, true}),
    [](const auto& c) { return std::string(c.param.name); });

TEST(SdpaMatrixChoice, is_for_many_tokens_over_f16_caches) {
  Caps caps = floor_caps();
  caps.kind = DeviceKind::discrete;
  caps.features = kCooperativeMatrix | kFloat16 | kSubgroupShuffle;
  caps.subgroup_size = 32;
  caps.matrix_m = caps.matrix_n = caps.matrix_k = 16;
  caps.max_shared_bytes = 49152;
  caps.lanes = 270336;
  const Case c{"", 8, 2, 64, 64};
  const SdpaArgs usual = args_of(c, 512, 1);
  EXPECT_TRUE(attends_on_matrices(caps, usual));
  const auto expect_other = [&](const SdpaArgs& args, const Caps& device) {
    EXPECT_FALSE(attends_on_matrices(device, args));
  };
  SdpaArgs args = usual;
  args.tokens = 8;
  expect_other(args, caps);
  args = usual;
  args.head_dim = 80;
  expect_other(args, caps);
  args = usual;
  args.cache = DType::i8;
  expect_other(args, caps);
  Caps small = caps;
  small.max_shared_bytes = 32768;
  expect_other(usual, small);
  small = caps;
  small.features = kSubgroupShuffle;
  expect_other(usual, small);
  small = caps;
  small.matrix_n = 8;
  expect_other(usual, small);
  small = caps;
  small.subgroup_size = 64;
  expect_other(usual, small);
}

}  // namespace
}  // namespace nbl::test
