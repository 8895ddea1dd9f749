// What could break: the edges of a block, groups that are shorter or longer than a step, ranges of
// several groups, and that a block's rows have other bits than the kernel for one row.
#include <gtest/gtest.h>

#include "rt/kernels/variants.h"
#include "tests/rt/kernels/linear_dq8ca_cases.h"

namespace nbl::test {
namespace {

Caps with_blocks(const Gpu& gpu) {
  Caps caps = eight_cores(gpu.caps(), false);
  caps.features |= kIntegerDot;
  return caps;
}

class Dq8caBlock : public testing::TestWithParam<LinearCase> {};

TEST_P(Dq8caBlock, has_the_bits_of_the_floor) {
  NBL_REQUIRE_GPU(gpu);
  if (!gpu->has_integer_dot()) GTEST_SKIP() << "the device has no packed dot product";
  const LinearCase& c = GetParam();
  const Caps caps = with_blocks(*gpu);
  KernelCall call;
  ASSERT_TRUE(call_linear_dq8ca(caps, args_of(c, 0, q4_padded_rows(c.rows)), &call, nullptr).ok());
  ASSERT_STREQ(kVariants[call.variant].name, "linear_dq8ca_block");
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows);
  const Dq8caData data(random, c);
  const std::vector<uint32_t> out = run_dq8ca(gpu, caps, c, data);
  expect_exact(c, data, out);
  Caps floor = caps;  // the same ways of K
  floor.features &= ~uint32_t{kIntegerDot};
  EXPECT_EQ(out, run_dq8ca(gpu, floor, c, data));
}

INSTANTIATE_TEST_SUITE_P(
    Edges, Dq8caBlock,
    testing::Values(LinearCase{.tokens = 2, .columns = 33, .rows = 7, .group_size = 8},
                    LinearCase{.tokens = 31, .columns = 97, .rows = 63, .group_size = 16},
                    LinearCase{.tokens = 32, .columns = 320, .rows = 64, .group_size = 32},
                    LinearCase{.tokens = 33, .columns = 288, .rows = 65, .group_size = 64},
                    LinearCase{.tokens = 64, .columns = 577, .rows = 131, .group_size = 128},
                    LinearCase{.tokens = 65, .columns = 1000, .rows = 193, .group_size = 256}));

INSTANTIATE_TEST_SUITE_P(
    Fused, Dq8caBlock,
    testing::Values(
        LinearCase{.tokens = 40, .columns = 97, .rows = 192, .group_size = 32, .swiglu = true},
        LinearCase{.tokens = 100,
                   .columns = 64,
                   .rows = 150,
                   .group_size = 16,
                   .live = 65,
                   .bias = true,
                   .residual = true},
        LinearCase{.tokens = 37, .columns = 300, .rows = 97, .group_size = 8, .f32_scales = true},
        LinearCase{.tokens = 70,
                   .columns = 300,
                   .rows = 300,
                   .group_size = 256,
                   .live = 33,
                   .bias = true,
                   .window = 96,
                   .f32_scales = true}));

// Ranges of one group, of several, and a last one with fewer: 8 cores deal K to many ways.
INSTANTIATE_TEST_SUITE_P(
    Ranges, Dq8caBlock,
    testing::Values(LinearCase{.tokens = 9, .columns = 128, .rows = 40, .group_size = 32},
                    LinearCase{.tokens = 9, .columns = 4500, .rows = 300, .group_size = 32},
                    LinearCase{.tokens = 9, .columns = 2500, .rows = 40, .group_size = 8}));

TEST(Dq8caBlockChoice, follows_the_device_and_the_work) {
  Caps wide = floor_caps();
  wide.lanes = 270336;
  wide.features = kIntegerDot;
  Caps plain = wide;
  plain.features = kNoFeatures;
  Caps narrow = wide;
  narrow.lanes = 4096;
  Caps scalar = wide;
  scalar.features |= kScalarLoads;
  const struct {
    const Caps& caps;
    uint32_t tokens;
    const char* variant;
  } cases[] = {{wide, 512, "linear_dq8ca_block"},  {wide, 2, "linear_dq8ca_block"},
               {wide, 1, "linear_dq8ca_dot"},      {narrow, 512, "linear_dq8ca_dot"},
               {plain, 512, "linear_dq8ca_floor"}, {scalar, 512, "linear_dq8ca_dot"}};
  for (const auto& c : cases) {
    KernelCall call;
    LinearCase linear{.tokens = c.tokens, .columns = 2048, .rows = 2048, .group_size = 32};
    ASSERT_TRUE(call_linear_dq8ca(c.caps, args_of(linear, 0, 2048), &call, nullptr).ok());
    EXPECT_STREQ(kVariants[call.variant].name, c.variant) << c.tokens;
    linear.last_row = true;
    ASSERT_TRUE(call_linear_dq8ca(c.caps, args_of(linear, 0, 2048), &call, nullptr).ok());
    EXPECT_STRNE(kVariants[call.variant].name, "linear_dq8ca_block");
  }
}

// What a block adds up is in the order of the kernel for one row.
TEST(Dq8caBlockChoice, keeps_the_order_of_sums) {
  Caps caps = floor_caps();
  caps.max_invocations = caps.max_workgroup_x = 1024;
  caps.features = kIntegerDot;
  for (const uint32_t lanes : {16384u, 1u << 18}) {
    caps.lanes = lanes;
    for (const uint32_t columns : {64u, 2048u, 8192u}) {
      const LinearCase one{.tokens = 1, .columns = columns, .rows = 2048, .group_size = 32};
      LinearCase many = one;
      many.tokens = 100;
      KernelCall row, block;
      ASSERT_TRUE(call_linear_dq8ca(caps, args_of(one, 0, 2048), &row, nullptr).ok());
      ASSERT_TRUE(call_linear_dq8ca(caps, args_of(many, 0, 2048), &block, nullptr).ok());
      ASSERT_STREQ(kVariants[block.variant].name, "linear_dq8ca_block");
      EXPECT_EQ(block.spec[0], row.spec[3]);
    }
  }
}

}  // namespace
}  // namespace nbl::test
