// What could break: tails of rows, columns, groups and tokens, sums of large groups, the epilogues,
// windows, and that a row has other bits in another tile, split or way of multiplying.
#include <gtest/gtest.h>

#include "tests/rt/kernels/linear_dq8ca_cases.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

class Dq8ca : public testing::TestWithParam<LinearCase> {};

TEST_P(Dq8ca, matches_float64_and_has_the_same_bits_either_way) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase& c = GetParam();
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows);
  const Dq8caData data(random, c);
  for (const NamedCaps& named : dq8ca_caps(*gpu)) {
    SCOPED_TRACE(named.name);
    std::vector<uint32_t> first;
    for (const Caps& caps : with_and_without_dot(*gpu, named.caps)) {
      const std::vector<uint32_t> out = run_dq8ca(gpu, caps, c, data);
      if (first.empty()) expect_exact(c, data, out);
      if (first.empty()) first = out;
      EXPECT_EQ(out, first);
    }
  }
}

// What a prompt's chunk computes and what a decode step computes are the same.
TEST_P(Dq8ca, has_the_bits_of_each_row_alone) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase& c = GetParam();
  if (c.tokens == 1 || c.last_row) return;
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows);
  const Dq8caData data(random, c);
  const uint32_t live = data.step[STEP_TOKEN_COUNT];
  const size_t stride = row_stride(LinearData::out_columns(c));
  LinearCase alone = c;
  alone.tokens = 1;
  alone.live = 0;
  alone.window = 0;
  for (const NamedCaps& named : dq8ca_caps(*gpu)) {
    SCOPED_TRACE(named.name);
    for (const Caps& caps : with_and_without_dot(*gpu, named.caps)) {
      const std::vector<uint32_t> out = run_dq8ca(gpu, caps, c, data);
      for (const uint32_t t : {0u, live / 2, live - 1}) {
        const std::vector<uint32_t> row = run_dq8ca(gpu, caps, alone, data.only(c, t));
        EXPECT_TRUE(std::equal(row.begin(), row.end(), &out[t * stride])) << "row " << t;
      }
    }
  }
}

constexpr uint32_t kTokenCounts[] = {1, 3, 4, 5, 17, 64};
constexpr uint32_t kSizes[] = {1, 7, 31, 32, 33, 97, 172, 288, 576};
constexpr uint32_t kGroups[] = {8, 16, 32, 64, 128, 256};

std::vector<LinearCase> odd_shapes() {
  std::vector<LinearCase> cases;
  uint32_t i = 0;
  for (const uint32_t tokens : kTokenCounts) {
    for (const uint32_t columns : kSizes) {
      cases.push_back({.tokens = tokens,
                       .columns = columns,
                       .rows = kSizes[(i * 5 + 2) % 9],
                       .group_size = kGroups[i % 6],
                       .bias = i % 3 == 1,
                       .residual = i % 5 == 2});
      i += 1 + i % 9 / 8;
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(OddShapes, Dq8ca, testing::ValuesIn(odd_shapes()));

std::vector<LinearCase> fused() {
  std::vector<LinearCase> cases;
  uint32_t i = 0;
  for (const uint32_t tokens : {1u, 5u}) {
    for (const uint32_t columns : {33u, 288u, 577u}) {
      for (uint32_t bits = 0; bits < 8; ++bits) {
        cases.push_back({.tokens = tokens,
                         .columns = columns,
                         .rows = (bits & 4) ? 192u : 97u,  // swiglu: 2 * align_up(F, 32)
                         .group_size = kGroups[i++ % 6],
                         .bias = (bits & 1) != 0,
                         .residual = (bits & 2) != 0,
                         .swiglu = (bits & 4) != 0});
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Fused, Dq8ca, testing::ValuesIn(fused()));

// The published table, with and without its biases.
std::vector<LinearCase> published() {
  std::vector<LinearCase> cases;
  constexpr uint32_t kTable[][4] = {{4, 64, 32, 16},     {4, 128, 64, 32},  {4, 256, 128, 64},
                                    {32, 64, 32, 16},    {32, 128, 64, 32}, {32, 256, 128, 64},
                                    {256, 128, 128, 32}, {64, 64, 64, 64},  {64, 128, 64, 64},
                                    {64, 256, 128, 128}};
  for (const auto& [m, k, n, g] : kTable) {
    for (const bool bias : {false, true}) {
      cases.push_back({.tokens = m, .columns = k, .rows = n, .group_size = g, .bias = bias});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Published, Dq8ca, testing::ValuesIn(published()));

// Cases that go wrong elsewhere: a partial last group, groups of 256, one row, rows of N that are
// no multiple of 8, and what the compiler makes of groups of 96: 32.
INSTANTIATE_TEST_SUITE_P(
    Defects, Dq8ca,
    testing::Values(LinearCase{.tokens = 3, .columns = 1000, .rows = 40, .group_size = 256},
                    LinearCase{.tokens = 3, .columns = 512, .rows = 40, .group_size = 256},
                    LinearCase{.tokens = 1, .columns = 512, .rows = 12, .group_size = 256},
                    LinearCase{.tokens = 2, .columns = 192, .rows = 20, .group_size = 32},
                    LinearCase{.tokens = 2, .columns = 224, .rows = 20, .group_size = 16},
                    LinearCase{.tokens = 5, .columns = 100, .rows = 12, .group_size = 64}));

INSTANTIATE_TEST_SUITE_P(
    Steps, Dq8ca,
    testing::Values(
        LinearCase{.tokens = 64, .columns = 97, .rows = 65, .group_size = 32, .live = 1},
        LinearCase{.tokens = 64, .columns = 97, .rows = 65, .group_size = 8, .live = 17},
        LinearCase{.tokens = 7, .columns = 97, .rows = 65, .group_size = 64, .live = 6},
        LinearCase{.tokens = 64,
                   .columns = 288,
                   .rows = 130,
                   .group_size = 32,
                   .live = 23,
                   .last_row = true},
        LinearCase{.tokens = 3,
                   .columns = 40,
                   .rows = 70,
                   .group_size = 32,
                   .live = 1,
                   .bias = true,
                   .last_row = true}));

INSTANTIATE_TEST_SUITE_P(Windows, Dq8ca,
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
                                                    .swiglu = true,
                                                    .window = 96},
                                         LinearCase{.tokens = 9,
                                                    .columns = 97,
                                                    .rows = 200,
                                                    .group_size = 128,
                                                    .live = 8,
                                                    .bias = true,
                                                    .residual = true,
                                                    .window = 96}));

std::vector<LinearCase> float_scales() {
  std::vector<LinearCase> cases;
  for (const uint32_t group : kGroups) {
    for (const uint32_t tokens : {1u, 5u}) {
      cases.push_back({.tokens = tokens,
                       .columns = 300,
                       .rows = 97,
                       .group_size = group,
                       .bias = true,
                       .window = tokens == 1 ? 32u : 0u,
                       .f32_scales = true});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(FloatScales, Dq8ca, testing::ValuesIn(float_scales()));

// The largest sum that a group can have: 256 times -255 times -8, in every group of a long row.
TEST(Dq8caSums, of_the_largest_integers_are_exact) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t tokens : {1u, 4u}) {
    const LinearCase c{.tokens = tokens, .columns = 16384, .rows = 33, .group_size = 256};
    Random random(3);
    Dq8caData data(random, c);
    for (uint32_t t = 0; t < tokens; ++t) {
      for (uint32_t k = 0; k < c.columns; ++k)
        data.x[size_t{t} * c.columns + k] = t % 2 == 0 ? 255.0f : -255.0f;
    }
    data.quantize(c);
    for (int8_t& v : data.weight.values)
      v = -8;
    pack(&data.weight);
    ASSERT_EQ(std::abs(data.quantized[0].values[0] - data.quantized[0].zero), 255);
    for (const NamedCaps& named : dq8ca_caps(*gpu)) {
      SCOPED_TRACE(named.name);
      for (const Caps& caps : with_and_without_dot(*gpu, named.caps)) {
        expect_exact(c, data, run_dq8ca(gpu, caps, c, data));
      }
    }
  }
}

// With the whole chain of two kernels, from activations.
std::vector<uint32_t> quantize_and_run(Gpu* gpu, const Caps& caps, const LinearCase& c,
                                       Dq8caData* data) {
  KernelCall call;
  const QuantizeRowsArgs args{
      .tokens = c.tokens, .columns = c.columns, .norm = false, .last_row = false, .eps = 0};
  EXPECT_TRUE(call_quantize_rows(caps, args, &call, nullptr).ok());
  data->rows.assign(data->rows.size(), kPoison);
  const std::vector<uint32_t> x = activation_words(data->x, c.tokens, c.columns);
  EXPECT_EQ(gpu->run(call, {reads(data->step), reads(x), reads(x), writes(data->rows),
                            writes(data->params)}),
            "");
  return run_dq8ca(gpu, caps, c, *data);
}

TEST(Dq8caChain, decode_quantizes_as_prefill_does) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase c{.tokens = 1, .columns = 512, .rows = 256, .group_size = 32};
  Random random(12);
  Dq8caData data(random, c);
  for (const NamedCaps& named : dq8ca_caps(*gpu)) {
    SCOPED_TRACE(named.name);
    const std::vector<uint32_t> out = quantize_and_run(gpu, named.caps, c, &data);
    expect_exact(c, data, out);
    // Rounding x to 255 steps of about 6.5 / 255 moves each by 0.0074: relative to 1, that much.
    std::vector<float> got(c.rows);
    std::memcpy(got.data(), out.data(), got.size() * 4);
    const double error = relative_error(data.reference(c, 0), got);
    EXPECT_GT(error, 1e-3);
    EXPECT_LT(error, 2e-2);
  }
}

TEST(Dq8caChain, rows_of_zeros_give_the_bias_and_rows_without_numbers_spoil_no_other) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase c{.tokens = 4, .columns = 100, .rows = 40, .group_size = 32, .bias = true};
  Random random(13);
  Dq8caData data(random, c);
  for (uint32_t k = 0; k < c.columns; ++k)
    data.x[c.columns + k] = 0;
  data.x[2 * c.columns + 57] = INFINITY;
  data.quantize(c);
  for (const NamedCaps& named : dq8ca_caps(*gpu)) {
    SCOPED_TRACE(named.name);
    for (const Caps& caps : with_and_without_dot(*gpu, named.caps)) {
      const std::vector<uint32_t> out = quantize_and_run(gpu, caps, c, &data);
      const size_t stride = row_stride(c.rows);
      for (uint32_t n = 0; n < c.rows; ++n) {
        EXPECT_EQ(std::bit_cast<float>(out[stride + n]), data.bias[n]);
        EXPECT_TRUE(std::isnan(std::bit_cast<float>(out[2 * stride + n])));
      }
      for (const uint32_t t : {0u, 3u}) {
        std::vector<float> got(c.rows);
        std::memcpy(got.data(), &out[t * stride], got.size() * 4);
        EXPECT_LT(relative_error(data.exact(c, t), got), kLinearTolerance);
      }
    }
  }
}

TEST(Dq8caSteps, a_step_without_tokens_writes_nothing) {
  NBL_REQUIRE_GPU(gpu);
  for (const bool last_row : {false, true}) {
    for (const uint32_t tokens : {1u, 6u}) {
      const LinearCase c{
          .tokens = tokens, .columns = 64, .rows = 64, .group_size = 32, .last_row = last_row};
      Random random(5);
      Dq8caData data(random, c);
      data.step[STEP_TOKEN_COUNT] = 0;
      for (const NamedCaps& named : dq8ca_caps(*gpu)) {
        const std::vector<uint32_t> out = run_dq8ca(gpu, named.caps, c, data);
        EXPECT_EQ(out, std::vector<uint32_t>(out.size(), kPoison)) << named.name;
      }
    }
  }
}

TEST(Dq8caChoice, keeps_the_order_of_sums_for_every_window_and_number_of_tokens) {
  for (const uint32_t lanes : {64u, 4096u, 1u << 18}) {
    for (const uint32_t invocations : {128u, 1024u}) {
      Caps caps = floor_caps();
      caps.lanes = lanes;
      caps.max_invocations = caps.max_workgroup_x = invocations;
      for (const uint32_t rows : {32u, 2048u, 128256u}) {
        const LinearCase c{.tokens = 1, .columns = 2048, .rows = rows, .group_size = 32};
        KernelCall one, window, many;
        ASSERT_TRUE(call_linear_dq8ca(caps, args_of(c, 0, rows), &one, nullptr).ok());
        ASSERT_TRUE(call_linear_dq8ca(caps, args_of(c, 0, 32), &window, nullptr).ok());
        LinearCase prefill = c;
        prefill.tokens = 100;
        ASSERT_TRUE(call_linear_dq8ca(caps, args_of(prefill, 0, rows), &many, nullptr).ok());
        EXPECT_EQ(one.spec[3], window.spec[3]);
        EXPECT_EQ(one.spec[3], many.spec[3]);
        EXPECT_LE(one.spec[0], invocations);
        EXPECT_GE(uint64_t{one.grid[0]} * one.grid[1] * (one.spec[0] / one.spec[4]) * 4, rows);
        EXPECT_GE(uint64_t{many.grid[0]} * many.grid[1] * many.spec[0] * 4, rows);
        EXPECT_EQ(many.grid[2], 25u);
      }
    }
  }
}

TEST(Dq8caChoice, takes_the_packed_dot_product_where_the_device_has_it) {
  const LinearCase c{.tokens = 1, .columns = 64, .rows = 64, .group_size = 32};
  Caps caps = floor_caps();
  KernelCall call;
  ASSERT_TRUE(call_linear_dq8ca(caps, args_of(c, 0, 64), &call, nullptr).ok());
  EXPECT_STREQ(kVariants[call.variant].name, "linear_dq8ca_floor");
  caps.features = kIntegerDot;
  ASSERT_TRUE(call_linear_dq8ca(caps, args_of(c, 0, 64), &call, nullptr).ok());
  EXPECT_STREQ(kVariants[call.variant].name, "linear_dq8ca_dot");
}

TEST(Dq8caChoice, refuses_more_tokens_than_the_grid_holds) {
  Caps caps = floor_caps();
  const LinearCase c{.tokens = 4 * 65535 + 1, .columns = 32, .rows = 32, .group_size = 32};
  KernelCall call;
  Error error;
  EXPECT_EQ(call_linear_dq8ca(caps, args_of(c, 0, 32), &call, &error).code(), Code::device_limit);
}

}  // namespace
}  // namespace nbl::test
