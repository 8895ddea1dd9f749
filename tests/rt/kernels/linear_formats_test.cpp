// What could break: groups of less than a block of 32, scales of 32 bits, and shapes of any size,
// in every variant that any device may choose.
#include <gtest/gtest.h>

#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

void run_everywhere(Gpu* gpu, const LinearCase& c) {
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows * 3 + c.group_size);
  const LinearData data(random, c);
  for (const NamedCaps& named : caps_to_try(*gpu)) {
    SCOPED_TRACE(named.name);
    LinearCase fitting = c;
    if (!linear_fuses_norm(named.caps, args_of(c, 0, 32))) fitting.norm = false;
    run_linear(gpu, named.caps, fitting, data);
  }
}

class LinearFormats : public testing::TestWithParam<LinearCase> {};

TEST_P(LinearFormats, match_float64_on_every_kind_of_device) {
  NBL_REQUIRE_GPU(gpu);
  run_everywhere(gpu, GetParam());
}

// Every group size and type of scales that linear_test.cpp has not; K is a multiple of nothing.
std::vector<LinearCase> formats() {
  std::vector<LinearCase> cases;
  for (const uint32_t group : {8u, 16u, 32u, 64u, 128u, 256u}) {
    for (const bool f32 : {false, true}) {
      if (group >= 32 && !f32) continue;
      for (const uint32_t tokens : {1u, 5u, 37u}) {
        for (const uint32_t columns : {7u, 41u, 300u}) {
          cases.push_back({.tokens = tokens,
                           .columns = columns,
                           .rows = 97,
                           .group_size = group,
                           .norm = tokens == 1 && columns == 300,
                           .bias = columns == 41,
                           .residual = columns == 300,
                           .f32_scales = f32});
        }
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Groups, LinearFormats, testing::ValuesIn(formats()));

INSTANTIATE_TEST_SUITE_P(Fused, LinearFormats,
                         testing::Values(LinearCase{.tokens = 1,
                                                    .columns = 172,
                                                    .rows = 256,
                                                    .group_size = 8,
                                                    .norm = true,
                                                    .swiglu = true,
                                                    .window = 96,
                                                    .f32_scales = true},
                                         LinearCase{.tokens = 9,
                                                    .columns = 97,
                                                    .rows = 200,
                                                    .group_size = 16,
                                                    .live = 8,
                                                    .bias = true,
                                                    .residual = true,
                                                    .window = 96,
                                                    .f32_scales = true},
                                         LinearCase{.tokens = 64,
                                                    .columns = 288,
                                                    .rows = 130,
                                                    .group_size = 8,
                                                    .live = 23,
                                                    .last_row = true}));

// Nothing about M, N or K has to be even.
std::vector<LinearCase> any_shape() {
  std::vector<LinearCase> cases;
  const uint32_t rows[] = {1, 2, 3, 7, 12, 20, 97, 136};
  const uint32_t columns[] = {1, 2, 7, 31, 53, 136, 251};
  uint32_t i = 0;
  for (const uint32_t n : rows) {
    for (const uint32_t k : columns) {
      cases.push_back({.tokens = i % 3 == 0   ? 1u
                                 : i % 3 == 1 ? 2u
                                              : 11u,
                       .columns = k,
                       .rows = n,
                       .group_size = 8u << i % 6,
                       .bias = i % 4 == 1,
                       .f32_scales = i % 2 == 1});
      ++i;
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(AnyShape, LinearFormats, testing::ValuesIn(any_shape()));

// The peer's cases with a bias.
INSTANTIATE_TEST_SUITE_P(
    Bias, LinearFormats,
    testing::Values(
        LinearCase{.tokens = 4, .columns = 64, .rows = 32, .group_size = 16, .bias = true},
        LinearCase{.tokens = 4, .columns = 128, .rows = 64, .group_size = 32, .bias = true},
        LinearCase{.tokens = 32, .columns = 128, .rows = 64, .group_size = 32, .bias = true}));

// The blocks and matrices of wide GPUs.
TEST(LinearFormatBlocks, match_float64) {
  NBL_REQUIRE_GPU(gpu);
  for (const bool matrices : {false, true}) {
    if (matrices && (gpu->caps().features & kCooperativeMatrix) == 0) continue;
    const Caps caps = eight_cores(gpu->caps(), matrices);
    for (const auto& [tokens, rows] :
         {std::pair(29u, 73u), std::pair(61u, 393u), std::pair(125u, 777u)}) {
      for (const uint32_t group : {8u, 16u, 64u}) {
        const LinearCase c{.tokens = tokens,
                           .columns = 136,
                           .rows = rows,
                           .group_size = group,
                           .bias = group == 16,
                           .f32_scales = group != 16};
        SCOPED_TRACE(testing::PrintToString(c));
        Random random(rows + group);
        run_linear(gpu, caps, c, LinearData(random, c));
      }
    }
  }
}

// The peer computes the first of several batches only; here they are rows like any others.
TEST(LinearBatches, are_more_rows) {
  NBL_REQUIRE_GPU(gpu);
  run_everywhere(gpu, {.tokens = 3 * 5, .columns = 64, .rows = 32, .group_size = 16});
}

// The peer reads the scales and the bias of rows past N % 8; guards around each binding would tell.
TEST(LinearScales, are_not_read_past_the_last_row) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t rows : {4u, 12u, 20u, 36u}) {
    for (const uint32_t tokens : {1u, 3u}) {
      run_everywhere(gpu, {.tokens = tokens,
                           .columns = 96,
                           .rows = rows,
                           .group_size = 32,
                           .bias = true,
                           .f32_scales = rows % 8 == 4});
    }
  }
}

// The peer drops a group that K cuts short.
TEST(LinearGroups, may_end_past_k) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t group : {8u, 16u, 64u, 256u}) {
    for (const uint32_t tokens : {1u, 6u}) {
      run_everywhere(gpu,
                     {.tokens = tokens, .columns = group + 4, .rows = 40, .group_size = group});
    }
  }
}

}  // namespace
}  // namespace nbl::test
