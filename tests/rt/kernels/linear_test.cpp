// What could break: tails of rows, columns, groups and tokens, the fused epilogues, windows, and
// the sum over lanes that share a row, in every variant that any device may choose.
#include <gtest/gtest.h>

#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

class Linear : public testing::TestWithParam<LinearCase> {};

TEST_P(Linear, matches_float64_on_every_kind_of_device) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase& c = GetParam();
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows);
  const LinearData data(random, c);
  for (const NamedCaps& named : caps_to_try(*gpu)) {
    SCOPED_TRACE(named.name);
    LinearCase fitting = c;
    if (!linear_fuses_norm(named.caps, args_of(c, 0, 32))) fitting.norm = false;
    run_linear(gpu, named.caps, fitting, data);
  }
}

constexpr uint32_t kTokenCounts[] = {1, 3, 4, 5, 17, 64};
constexpr uint32_t kSizes[] = {1, 7, 31, 32, 33, 97, 172, 288, 576};
constexpr uint32_t kGroups[] = {32, 64, 128, 256};

// Each size meets each token count with another size as N and the groups in turn.
std::vector<LinearCase> odd_shapes() {
  std::vector<LinearCase> cases;
  uint32_t i = 0;
  for (const uint32_t tokens : kTokenCounts) {
    for (const uint32_t columns : kSizes) {
      const uint32_t rows = kSizes[(i * 5 + 2) % 9];
      cases.push_back({.tokens = tokens,
                       .columns = columns,
                       .rows = rows,
                       .group_size = kGroups[i % 4],
                       .bias = i % 3 == 1,
                       .residual = i % 5 == 2});
      ++i;
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(OddShapes, Linear, testing::ValuesIn(odd_shapes()));

std::vector<LinearCase> fused() {
  std::vector<LinearCase> cases;
  uint32_t i = 0;
  for (const uint32_t tokens : {1u, 5u}) {
    for (const uint32_t columns : {33u, 100u, 288u, 577u}) {
      for (uint32_t bits = 0; bits < 16; ++bits) {
        cases.push_back({.tokens = tokens,
                         .columns = columns,
                         .rows = (bits & 8) ? 192u : 97u,  // swiglu: 2 * align_up(F, 32)
                         .group_size = kGroups[i++ % 4],
                         .norm = (bits & 1) != 0,
                         .bias = (bits & 2) != 0,
                         .residual = (bits & 4) != 0,
                         .swiglu = (bits & 8) != 0});
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Fused, Linear, testing::ValuesIn(fused()));

INSTANTIATE_TEST_SUITE_P(
    Steps, Linear,
    testing::Values(
        LinearCase{.tokens = 64, .columns = 97, .rows = 65, .group_size = 32, .live = 1},
        LinearCase{.tokens = 64, .columns = 97, .rows = 65, .group_size = 32, .live = 17},
        LinearCase{.tokens = 7, .columns = 97, .rows = 65, .group_size = 64, .live = 6},
        LinearCase{.tokens = 64,
                   .columns = 288,
                   .rows = 130,
                   .group_size = 32,
                   .live = 23,
                   .last_row = true},
        LinearCase{.tokens = 64,
                   .columns = 288,
                   .rows = 130,
                   .group_size = 32,
                   .live = 64,
                   .norm = true,
                   .last_row = true},
        LinearCase{.tokens = 3,
                   .columns = 40,
                   .rows = 70,
                   .group_size = 32,
                   .live = 1,
                   .bias = true,
                   .last_row = true}));

std::vector<LinearCase> gelu_gates() {
  std::vector<LinearCase> cases;
  for (const uint32_t tokens : {1u, 5u, 33u}) {
    for (const bool norm : {false, true}) {
      cases.push_back({.tokens = tokens,
                       .columns = 97,
                       .rows = 192,
                       .group_size = 32,
                       .norm = norm,
                       .swiglu = true,
                       .gelu = true});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(GeluGates, Linear, testing::ValuesIn(gelu_gates()));

INSTANTIATE_TEST_SUITE_P(Windows, Linear,
                         testing::Values(LinearCase{.tokens = 1,
                                                    .columns = 97,
                                                    .rows = 200,
                                                    .group_size = 32,
                                                    .bias = true,
                                                    .residual = true,
                                                    .window = 32},
                                         LinearCase{.tokens = 1,
                                                    .columns = 172,
                                                    .rows = 256,
                                                    .group_size = 64,
                                                    .norm = true,
                                                    .swiglu = true,
                                                    .window = 96},
                                         LinearCase{.tokens = 9,
                                                    .columns = 97,
                                                    .rows = 200,
                                                    .group_size = 128,
                                                    .live = 8,
                                                    .bias = true,
                                                    .residual = true,
                                                    .window = 96},
                                         LinearCase{.tokens = 9,
                                                    .columns = 97,
                                                    .rows = 256,
                                                    .group_size = 32,
                                                    .swiglu = true,
                                                    .window = 64}));

TEST(LinearSteps, a_step_without_tokens_writes_nothing) {
  NBL_REQUIRE_GPU(gpu);
  for (const bool last_row : {false, true}) {
    for (const uint32_t tokens : {1u, 6u}) {
      const LinearCase c{
          .tokens = tokens, .columns = 64, .rows = 64, .group_size = 32, .last_row = last_row};
      Random random(5);
      LinearData data(random, c);
      data.step[STEP_TOKEN_COUNT] = 0;
      for (const NamedCaps& named : caps_to_try(*gpu)) {
        SCOPED_TRACE(named.name);
        KernelCall call;
        ASSERT_TRUE(call_linear(named.caps, args_of(c, 0, 64), &call, nullptr).ok());
        std::vector<uint32_t> out(size_t{tokens} * 64, kPoison);
        const Binding x = reads(data.x_words);
        ASSERT_EQ(gpu->run(call, {reads(data.step), x, reads(data.weight.value_words),
                                  reads(data.weight.scale_words), writes(out), x, x, x}),
                  "");
        EXPECT_EQ(out, std::vector<uint32_t>(out.size(), kPoison));
      }
    }
  }
}

// silu(gate) must not overflow on the way: e^-gate is infinite from about -88 on.
TEST(LinearSwiglu, stays_finite_for_gates_far_from_zero) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase c{.tokens = 1, .columns = 32, .rows = 64, .group_size = 32, .swiglu = true};
  Random random(6);
  LinearData data(random, c);
  for (float& v : data.x)
    v *= 20000;
  data.x_words = activation_words(data.x, 1, 32);
  for (const NamedCaps& named : caps_to_try(*gpu)) {
    SCOPED_TRACE(named.name);
    run_linear(gpu, named.caps, c, data);
  }
}

TEST(LinearChoice, the_norm_is_fused_only_where_one_row_is_split_over_lanes) {
  const LinearCase one{.tokens = 1, .columns = 64, .rows = 64, .group_size = 32};
  LinearCase many = one, last = one;
  many.tokens = last.tokens = 8;
  last.last_row = true;
  Caps caps = floor_caps();
  EXPECT_TRUE(linear_fuses_norm(caps, args_of(one, 0, 64)));
  EXPECT_TRUE(linear_fuses_norm(caps, args_of(last, 0, 64)));
  EXPECT_FALSE(linear_fuses_norm(caps, args_of(many, 0, 64)));
  caps.features = kScalarLoads;
  EXPECT_FALSE(linear_fuses_norm(caps, args_of(one, 0, 64)));
}

TEST(LinearChoice, sums_split_over_lanes_stay_within_shared_memory) {
  Caps caps = floor_caps();
  caps.lanes = 1u << 18;
  caps.max_invocations = caps.max_workgroup_x = 1024;
  const LinearCase c{.tokens = 1, .columns = 8192, .rows = 2048, .group_size = 32};
  for (const uint32_t shared : {16384u, 20479u, 20480u, 32768u}) {
    caps.max_shared_bytes = shared;
    KernelCall call;
    ASSERT_TRUE(call_linear(caps, args_of(c, 0, c.rows), &call, nullptr).ok());
    EXPECT_EQ(call.spec[0], shared < 20480 ? 512u : 1024u);
  }
}

TEST(LinearChoice, a_wide_device_splits_k_further_and_no_plan_leaves_the_limits) {
  for (const uint32_t lanes : {64u, 4096u, 65536u, 1u << 18}) {
    for (const uint32_t rows : {32u, 2048u, 128256u}) {
      Caps caps = floor_caps();
      caps.lanes = lanes;
      for (const uint32_t invocations : {128u, 256u, 1024u}) {
        caps.max_invocations = caps.max_workgroup_x = invocations;
        const LinearCase c{.tokens = 1, .columns = 2048, .rows = rows, .group_size = 32};
        KernelCall call;
        ASSERT_TRUE(call_linear(caps, args_of(c, 0, rows), &call, nullptr).ok());
        EXPECT_LE(call.spec[0], invocations);
        EXPECT_LE(call.spec[1], 64u);
        EXPECT_EQ(call.spec[0] % call.spec[1], 0u);
        EXPECT_GE(call.grid[0] * (call.spec[0] / call.spec[1]) * 4, rows);
        if (lanes == 1u << 18 && rows == 2048 && invocations >= 256) {
          EXPECT_EQ(call.spec[1], 64u);
        }
        if (lanes == 64 && rows == 2048) {
          EXPECT_EQ(call.spec[1], 4u);
        }
      }
    }
  }
}

}  // namespace
}  // namespace nbl::test
