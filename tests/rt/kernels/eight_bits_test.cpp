// What could break: the two words that eight columns of an 8-bit weight take, the offset of 128,
// and the kernels that know nibbles only, which must not be chosen.
#include <gtest/gtest.h>

#include "rt/kernels/chain.h"
#include "rt/kernels/embedding.h"
#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

class LinearEightBits : public testing::TestWithParam<LinearCase> {};

TEST_P(LinearEightBits, matches_float64_on_every_kind_of_device) {
  NBL_REQUIRE_GPU(gpu);
  LinearCase c = GetParam();
  c.eight_bits = true;
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows * 3 + c.group_size);
  const LinearData data(random, c);
  for (const NamedCaps& named : caps_to_try(*gpu)) {
    SCOPED_TRACE(named.name);
    LinearCase fitting = c;
    if (!linear_fuses_norm(named.caps, args_of(c, 0, 32))) fitting.norm = false;
    run_linear(gpu, named.caps, fitting, data);
  }
}

// Every group size and type of scales; M, N and K are multiples of nothing.
std::vector<LinearCase> odd_shapes() {
  std::vector<LinearCase> cases;
  const uint32_t rows[] = {1, 7, 33, 97, 130};
  const uint32_t columns[] = {1, 7, 31, 33, 53, 97, 172, 300};
  const uint32_t tokens[] = {1, 3, 5, 17};
  uint32_t i = 0;
  for (const uint32_t n : rows) {
    for (const uint32_t k : columns) {
      cases.push_back({.tokens = tokens[i % 4],
                       .columns = k,
                       .rows = n,
                       .group_size = 8u << i % 6,
                       .bias = i % 3 == 1,
                       .residual = i % 5 == 2,
                       .f32_scales = i % 2 == 1});
      ++i;
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(OddShapes, LinearEightBits, testing::ValuesIn(odd_shapes()));

std::vector<LinearCase> fused() {
  std::vector<LinearCase> cases;
  for (const uint32_t tokens : {1u, 6u}) {
    for (uint32_t bits = 0; bits < 16; ++bits) {
      cases.push_back({.tokens = tokens,
                       .columns = bits % 2 == 0 ? 100u : 288u,
                       .rows = (bits & 8) != 0 ? 192u : 97u,
                       .group_size = (bits & 2) != 0 ? 16u : 64u,
                       .norm = (bits & 1) != 0,
                       .bias = (bits & 2) != 0 && (bits & 8) == 0,
                       .residual = (bits & 4) != 0,
                       .swiglu = (bits & 8) != 0});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Fused, LinearEightBits, testing::ValuesIn(fused()));

INSTANTIATE_TEST_SUITE_P(
    Steps, LinearEightBits,
    testing::Values(
        LinearCase{.tokens = 64, .columns = 97, .rows = 65, .group_size = 32, .live = 17},
        LinearCase{.tokens = 64,
                   .columns = 288,
                   .rows = 130,
                   .group_size = 32,
                   .live = 23,
                   .norm = true,
                   .last_row = true},
        LinearCase{.tokens = 1,
                   .columns = 97,
                   .rows = 200,
                   .group_size = 32,
                   .bias = true,
                   .residual = true,
                   .window = 32},
        LinearCase{.tokens = 9, .columns = 97, .rows = 200, .group_size = 8, .window = 96},
        LinearCase{.tokens = 1, .columns = 2048, .rows = 1024, .group_size = 32, .norm = true}));

TEST(LinearEightBitsChoice, a_wide_gpu_runs_the_tile_and_not_the_blocks_of_nibbles) {
  Caps caps = floor_caps();
  caps.lanes = 1u << 18;
  caps.max_invocations = caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 65536;
  LinearCase c{.tokens = 64, .columns = 2048, .rows = 2048, .group_size = 32};
  KernelCall call;
  ASSERT_TRUE(call_linear(caps, args_of(c, 0, c.rows), &call, nullptr).ok());
  EXPECT_NE(call.variant, static_cast<uint16_t>(VariantId::gemm_floor));
  c.eight_bits = true;
  ASSERT_TRUE(call_linear(caps, args_of(c, 0, c.rows), &call, nullptr).ok());
  EXPECT_EQ(call.variant, static_cast<uint16_t>(VariantId::gemm_floor));
  EXPECT_EQ(linear_few_tokens(caps, args_of(c, 0, c.rows)), 0u);
}

TEST(LinearEightBitsChoice, a_chain_takes_no_linear_of_8_bits) {
  Caps caps = floor_caps();
  caps.cores = 4;
  LinearCase c{.tokens = 1, .columns = 64, .rows = 64, .group_size = 32};
  KernelCall call;
  ASSERT_TRUE(call_linear(caps, args_of(c, 0, 64), &call, nullptr).ok());
  ChainShape shape;
  EXPECT_TRUE(join_chain(caps, call, &shape));
  c.eight_bits = true;
  ASSERT_TRUE(call_linear(caps, args_of(c, 0, 64), &call, nullptr).ok());
  EXPECT_FALSE(join_chain(caps, call, &shape));
}

struct Table {
  uint32_t rows, columns, group_size;
  bool f32_scales;
};

void PrintTo(const Table& t, std::ostream* out) {
  *out << "V" << t.rows << " E" << t.columns << " G" << t.group_size
       << (t.f32_scales ? " f32 scales" : "");
}

class EmbeddingEightBits : public testing::TestWithParam<Table> {};

// Runs the windows [0, 32), [32, ...) of the table, and every token must come from one of them. The
// product of an 8-bit value and a scale is rounded once.
TEST_P(EmbeddingEightBits, gathers_rows_exactly_and_zeroes_the_padding) {
  NBL_REQUIRE_GPU(gpu);
  const Table& table = GetParam();
  Random random(table.rows * 31 + table.columns);
  const Q4Matrix weight =
      random_q4(random, table.rows, table.columns, table.group_size, 0.01f, table.f32_scales, true);
  std::vector<uint32_t> step(STEP_TOKENS, 0);
  constexpr uint32_t kTokens = 9;
  step[STEP_TOKEN_COUNT] = kTokens - 1;
  for (uint32_t t = 0; t < kTokens; ++t)
    step.push_back(t == 0 ? table.rows - 1 : random.below(table.rows));
  const uint32_t stride = row_stride(table.columns);
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
    std::vector<uint32_t> out(size_t{kTokens} * stride, kPoison);
    for (uint32_t begin = 0; begin < weight.padded_rows;) {
      const uint32_t count = begin == 0 ? 32 : weight.padded_rows - begin;
      KernelCall call;
      ASSERT_TRUE(call_embedding(caps,
                                 {.tokens = kTokens,
                                  .rows = weight.rows,
                                  .columns = weight.columns,
                                  .format = weight.format(),
                                  .row_begin = begin,
                                  .row_count = count},
                                 &call, nullptr)
                      .ok());
      const size_t values = weight.format().data_bytes(count, table.columns) / 4;
      const size_t scales = weight.format().scale_bytes(count, table.columns) / 4;
      ASSERT_EQ(gpu->run(call, {reads(step), reads(weight.values_from(begin).first(values)),
                                reads(weight.scales_from(begin).first(scales)), writes(out)}),
                "");
      begin += count;
    }
    for (uint32_t t = 0; t < kTokens; ++t) {
      for (uint32_t c = 0; c < stride; ++c) {
        const uint32_t got = out[size_t{t} * stride + c];
        if (t + 1 == kTokens) {
          ASSERT_EQ(got, kPoison) << "of a token that is not live";
          continue;
        }
        const double want = c < table.columns ? weight.at(step[STEP_TOKENS + t], c) : 0.0;
        ASSERT_EQ(std::bit_cast<float>(got), static_cast<float>(want))
            << "token " << t << " column " << c;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EmbeddingEightBits,
                         testing::Values(Table{1, 1, 32, false}, Table{7, 31, 8, true},
                                         Table{33, 97, 64, false}, Table{61, 577, 256, true},
                                         Table{97, 172, 16, false}, Table{512, 64, 32, false},
                                         Table{100, 100, 128, true}));

}  // namespace
}  // namespace nbl::test
