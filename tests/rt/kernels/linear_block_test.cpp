// What could break: the edges of the blocks that a work-group of a wide GPU takes (rows of x, rows
// of weight, slices of k), the sums of slices that pass through shared memory, operands that f16
// cannot hold, and the choice among blocks.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

struct BlockCase {
  const char* variant;
  LinearCase linear;
};

void PrintTo(const BlockCase& c, std::ostream* out) {
  *out << c.variant << " ";
  PrintTo(c.linear, out);
}

class LinearBlock : public testing::TestWithParam<BlockCase> {};

TEST_P(LinearBlock, matches_float64) {
  NBL_REQUIRE_GPU(gpu);
  const auto& [variant, c] = GetParam();
  const std::string_view name = variant;
  const bool matrices = name.find("matrix") != name.npos;
  if (matrices && (gpu->caps().features & kCooperativeMatrix) == 0) {
    GTEST_SKIP() << "the device has no cooperative matrices";
  }
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows);
  const LinearData data(random, c);
  run_linear(gpu, eight_cores(gpu->caps(), matrices), c, data, variant);
}

LinearCase plain(uint32_t tokens, uint32_t columns, uint32_t rows, uint32_t group = 32) {
  return {.tokens = tokens, .columns = columns, .rows = rows, .group_size = group};
}

// Every epilogue at a size that is a multiple of nothing, and steps with fewer tokens.
std::vector<LinearCase> fused(uint32_t tokens, uint32_t rows) {
  std::vector<LinearCase> cases;
  LinearCase c = plain(tokens, 136, rows, 64);
  c.bias = c.residual = true;
  cases.push_back(c);
  c = plain(tokens, 96, (rows + 63) / 64 * 64);
  c.swiglu = true;
  cases.push_back(c);
  c.residual = true;
  c.live = tokens - 5;
  cases.push_back(c);
  c = plain(tokens, 160, rows, 128);
  c.bias = true;
  for (const uint32_t live : {1u, tokens / 2 + 1, tokens - 1}) {
    c.live = live;
    cases.push_back(c);
  }
  return cases;
}

// Tokens and rows at the edges of a block and away from them; K of one slice, of less and more than
// a step, and of thousands.
std::vector<BlockCase> cases_of(const char* variant, uint32_t tokens, uint32_t rows,
                                uint32_t least_rows) {
  std::vector<BlockCase> cases;
  for (const uint32_t t : {tokens - 1, tokens, tokens + 1}) {
    for (const uint32_t n : {least_rows - 1, least_rows, least_rows + 1}) {
      cases.push_back({variant, plain(t, 64, n)});
    }
  }
  for (const uint32_t k : {8u, 32u, 40u, 72u, 96u, 160u, 264u, 1024u, 2056u}) {
    cases.push_back({variant, plain(tokens - 3, k, least_rows + 9)});
  }
  for (const uint32_t group : {64u, 128u, 256u}) {
    cases.push_back({variant, plain(tokens - 1, 520, least_rows, group)});
  }
  for (const LinearCase& c : fused(tokens - 3, least_rows + rows / 2 + 3)) {
    cases.push_back({variant, c});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Large, LinearBlock,
                         testing::ValuesIn(cases_of("gemm_block_large", 128, 128, 768)));
INSTANTIATE_TEST_SUITE_P(Middle, LinearBlock,
                         testing::ValuesIn(cases_of("gemm_block", 64, 64, 384)));
INSTANTIATE_TEST_SUITE_P(Small, LinearBlock,
                         testing::ValuesIn(cases_of("gemm_block_small", 32, 64, 64)));
INSTANTIATE_TEST_SUITE_P(LargeMatrix, LinearBlock,
                         testing::ValuesIn(cases_of("gemm_matrix_large", 64, 128, 1536)));
INSTANTIATE_TEST_SUITE_P(Matrix, LinearBlock,
                         testing::ValuesIn(cases_of("gemm_matrix", 64, 64, 384)));
INSTANTIATE_TEST_SUITE_P(SmallMatrix, LinearBlock,
                         testing::ValuesIn(cases_of("gemm_matrix_small", 32, 64, 64)));

TEST(LinearBlocks, in_windows_write_their_own_columns) {
  NBL_REQUIRE_GPU(gpu);
  LinearCase c = plain(37, 97, 200);
  c.bias = c.residual = true;
  c.live = 35;
  c.window = 96;
  Random random(7);
  const LinearData data(random, c);
  for (const bool matrices : {false, true}) {
    SCOPED_TRACE(matrices);
    run_linear(gpu, eight_cores(gpu->caps(), matrices), c, data);
  }
}

// f16 ends at 65504: activations beyond are clamped, and sums stay finite.
TEST(LinearBlocks, clamp_activations_that_half_precision_cannot_hold) {
  NBL_REQUIRE_GPU(gpu);
  if ((gpu->caps().features & kCooperativeMatrix) == 0) {
    GTEST_SKIP() << "the device has no cooperative matrices";
  }
  const LinearCase c = plain(40, 64, 64);
  Random random(8);
  LinearData data(random, c), clamped = data;
  for (uint32_t i = 0; i < c.tokens; ++i) {
    data.x[size_t{i} * c.columns + i] = i % 2 == 0 ? 1e6f : -3e38f;
    clamped.x[size_t{i} * c.columns + i] = i % 2 == 0 ? 65504.0f : -65504.0f;
  }
  data.x_words = activation_words(data.x, c.tokens, c.columns);
  data.x = clamped.x;
  run_linear(gpu, eight_cores(gpu->caps(), true), c, data, "gemm_matrix_small");
}

// Of the two dispatches that a plan for many tokens has, a step runs one: the other writes nothing.
TEST(LinearBlocks, for_few_and_for_all_tokens_share_the_steps) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase c = plain(140, 64, 449);
  for (const bool matrices : {false, true}) {
    const Caps caps = eight_cores(gpu->caps(), matrices);
    const LinearArgs all = args_of(c, 0, 480);
    const uint32_t few = linear_few_tokens(caps, all);
    ASSERT_EQ(few, 128u);
    for (const uint32_t live : {1u, 127u, 128u, 129u, 140u}) {
      for (const bool first : {true, false}) {
        SCOPED_TRACE(testing::Message() << matrices << " " << live << " " << first);
        LinearArgs args = all;
        args.tokens = first ? few : c.tokens;
        args.few = first ? 0 : few;
        Random random(11);
        LinearData data(random, c);
        data.step[STEP_TOKEN_COUNT] = live;
        std::vector<uint32_t> out(size_t{c.tokens} * 480, kPoison);
        KernelCall call;
        ASSERT_TRUE(call_linear(caps, args, &call, nullptr).ok());
        const Binding x = reads(data.x_words);
        ASSERT_EQ(gpu->run(call, {reads(data.step), x, reads(data.weight.value_words),
                                  reads(data.weight.scale_words), writes(out), x, x, x}),
                  "");
        const size_t poison = static_cast<size_t>(std::count(out.begin(), out.end(), kPoison));
        const bool runs = first == (live <= few);
        EXPECT_EQ(out.size() - poison, runs ? size_t{live} * 480 : 0u);
      }
    }
  }
}

TEST(LinearBlockChoice, follows_the_device_and_the_work) {
  Caps wide = floor_caps();
  wide.max_invocations = wide.max_workgroup_x = 1024;
  wide.max_shared_bytes = 49152;
  wide.lanes = 270336;
  Caps matrices = wide;
  matrices.features = kCooperativeMatrix | kFloat16;
  matrices.subgroup_size = 32;
  matrices.matrix_m = matrices.matrix_n = matrices.matrix_k = 16;
  Caps few = matrices;  // no room for a work-group of the small block's eight subgroups
  few.lanes = 4096;
  few.subgroup_size = 64;
  few.max_invocations = few.max_workgroup_x = 256;
  Caps narrow = wide;
  narrow.lanes = 4096;
  Caps small_shared = wide;
  small_shared.max_shared_bytes = 16384;
  Caps scalar = wide;
  scalar.features = kScalarLoads;
  const struct {
    const Caps& caps;
    uint32_t tokens, rows;
    const char* variant;
  } cases[] = {{wide, 512, 16384, "gemm_block_large"},
               {wide, 512, 2048, "gemm_block"},
               {wide, 128, 2048, "gemm_block_small"},
               {wide, 8, 2048, "gemm_floor"},
               {narrow, 512, 2048, "gemm_floor"},
               {small_shared, 512, 2048, "gemm_floor"},
               {scalar, 512, 2048, "gemm_wide4"},
               {matrices, 512, 2048, "gemm_matrix"},
               {matrices, 512, 16384, "gemm_matrix_large"},
               {matrices, 128, 2048, "gemm_matrix_small"},
               {few, 512, 16384, "gemm_matrix"},
               {few, 8, 64, "gemm_floor"},
               {matrices, 8, 2048, "gemm_floor"},
               {floor_caps(), 512, 2048, "gemm_floor"}};
  for (const auto& c : cases) {
    KernelCall call;
    const LinearCase linear = plain(c.tokens, 2048, c.rows);
    ASSERT_TRUE(call_linear(c.caps, args_of(linear, 0, c.rows), &call, nullptr).ok());
    EXPECT_STREQ(kVariants[call.variant].name, c.variant) << c.tokens << " x " << c.rows;
  }
}

}  // namespace
}  // namespace nbl::test
