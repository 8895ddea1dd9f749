// What could break: the gather's word and scale addresses, windows, rows past the live tokens, and
// the padding columns that later kernels rely on being zero.
#include "rt/kernels/embedding.h"

#include <gtest/gtest.h>

#include "spirv/step_state.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"

namespace nbl::test {
namespace {

struct Case {
  uint32_t rows, columns, group_size, tokens;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "V" << c.rows << " E" << c.columns << " G" << c.group_size << " T" << c.tokens;
}

std::vector<uint32_t> step_with(const std::vector<uint32_t>& tokens) {
  std::vector<uint32_t> step(STEP_TOKENS, 0);
  step[STEP_TOKEN_COUNT] = static_cast<uint32_t>(tokens.size());
  step.insert(step.end(), tokens.begin(), tokens.end());
  return step;
}

// nibble - 8 is exact, and so is the product of a 4-bit and an 11-bit significand: every element is
// compared for equality.
void expect_row(const Q4Matrix& weight, uint32_t token, const uint32_t* row) {
  for (uint32_t c = 0; c < row_stride(weight.columns); ++c) {
    const float want = c < weight.columns ? static_cast<float>(weight.at(token, c)) : 0.0f;
    ASSERT_EQ(want, std::bit_cast<float>(row[c])) << "token " << token << " column " << c;
  }
}

void expect_untouched(const uint32_t* row, uint32_t stride) {
  for (uint32_t c = 0; c < stride; ++c)
    ASSERT_EQ(row[c], kPoison) << "column " << c;
}

void run_window(Gpu* gpu, const Caps& caps, const Q4Matrix& weight,
                const std::vector<uint32_t>& step, uint32_t tokens, uint32_t row_begin,
                uint32_t row_count, std::vector<uint32_t>* out) {
  KernelCall call;
  ASSERT_TRUE(call_embedding(caps,
                             {.tokens = tokens,
                              .rows = weight.rows,
                              .columns = weight.columns,
                              .format = weight.format(),
                              .row_begin = row_begin,
                              .row_count = row_count},
                             &call, nullptr)
                  .ok());
  const uint32_t per_row = weight.padded_columns / 8;
  const uint32_t scales_per_row_pair = weight.padded_columns / weight.group_size;
  ASSERT_EQ(
      gpu->run(
          call,
          {reads(step), reads(weight.values_from(row_begin).first(size_t{row_count} * per_row)),
           reads(weight.scales_from(row_begin).first(size_t{row_count} * scales_per_row_pair / 2)),
           writes(*out)}),
      "");
}

class Embedding : public testing::TestWithParam<Case> {};

TEST_P(Embedding, gathers_rows_exactly_and_zeroes_the_padding) {
  NBL_REQUIRE_GPU(gpu);
  const Case& c = GetParam();
  Random random(c.rows * 31 + c.columns);
  const Q4Matrix weight = random_q4(random, c.rows, c.columns, c.group_size);
  std::vector<uint32_t> tokens(c.tokens);
  for (uint32_t& token : tokens)
    token = random.below(c.rows);
  tokens.front() = c.rows - 1;
  const uint32_t stride = row_stride(c.columns);
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
    std::vector<uint32_t> out(size_t{c.tokens} * stride, kPoison);
    run_window(gpu, caps, weight, step_with(tokens), c.tokens, 0, weight.padded_rows, &out);
    for (uint32_t t = 0; t < c.tokens; ++t)
      expect_row(weight, tokens[t], &out[t * stride]);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Embedding,
                         testing::Values(Case{1, 1, 32, 1}, Case{7, 31, 32, 3}, Case{16, 32, 32, 4},
                                         Case{32, 64, 32, 6}, Case{33, 97, 64, 5},
                                         Case{50, 64, 64, 8}, Case{100, 128, 32, 32},
                                         Case{97, 172, 128, 17}, Case{64, 288, 32, 4},
                                         Case{512, 2048, 64, 4}, Case{61, 577, 256, 2}));

TEST(EmbeddingWindows, write_only_the_tokens_inside_them) {
  NBL_REQUIRE_GPU(gpu);
  Random random(2);
  const Q4Matrix weight = random_q4(random, 90, 72, 32);
  const std::vector<uint32_t> tokens{0, 31, 32, 63, 64, 89, 5};
  const uint32_t stride = row_stride(72);
  std::vector<uint32_t> out(tokens.size() * stride, kPoison);
  run_window(gpu, gpu->caps(), weight, step_with(tokens), 7, 32, 32, &out);
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] / 32 == 1) {
      expect_row(weight, tokens[t], &out[t * stride]);
    } else {
      expect_untouched(&out[t * stride], stride);
    }
  }
  run_window(gpu, gpu->caps(), weight, step_with(tokens), 7, 0, 32, &out);
  run_window(gpu, gpu->caps(), weight, step_with(tokens), 7, 64, 32, &out);
  for (size_t t = 0; t < tokens.size(); ++t)
    expect_row(weight, tokens[t], &out[t * stride]);
}

TEST(EmbeddingTokens, rows_past_the_live_tokens_stay_untouched) {
  NBL_REQUIRE_GPU(gpu);
  Random random(3);
  const Q4Matrix weight = random_q4(random, 40, 40, 32);
  std::vector<uint32_t> step = step_with({3, 4, 5, 6, 7});
  step[STEP_TOKEN_COUNT] = 2;
  const uint32_t stride = row_stride(40);
  std::vector<uint32_t> out(5 * stride, kPoison);
  run_window(gpu, gpu->caps(), weight, step, 5, 0, 64, &out);
  expect_row(weight, 3, &out[0]);
  expect_row(weight, 4, &out[stride]);
  for (uint32_t t = 2; t < 5; ++t)
    expect_untouched(&out[t * stride], stride);
}

// The harness itself: an output declared as an input must be noticed.
TEST(EmbeddingHarness, reports_a_binding_that_was_written_and_should_not_be) {
  NBL_REQUIRE_GPU(gpu);
  Random random(8);
  const Q4Matrix weight = random_q4(random, 32, 32, 32);
  const std::vector<uint32_t> out(32, kPoison);
  KernelCall call;
  ASSERT_TRUE(
      call_embedding(
          gpu->caps(),
          {.tokens = 1, .rows = 32, .columns = 32, .format = {}, .row_begin = 0, .row_count = 32},
          &call, nullptr)
          .ok());
  EXPECT_EQ(gpu->run(call, {reads(step_with({3})), reads(weight.value_words),
                            reads(weight.scale_words), reads(out)}),
            "wrote to the input at binding 3");
}

TEST(EmbeddingGrid, more_tokens_than_the_grid_holds_are_refused) {
  KernelCall call;
  call.variant = 77;
  Error error;
  const Status status = call_embedding(
      floor_caps(),
      {.tokens = 65536, .rows = 32, .columns = 32, .format = {}, .row_begin = 0, .row_count = 32},
      &call, &error);
  EXPECT_EQ(status.code(), Code::device_limit);
  EXPECT_EQ(error.value, 65536u);
  EXPECT_EQ(call.variant, 77) << "the output must stay untouched";
}

// 128256 x 2048, the Llama 3.2 1B table: addresses near the 128 MiB limit of one binding.
TEST(EmbeddingLarge, gathers_from_a_llama_table) {
  NBL_REQUIRE_GPU(gpu);
  constexpr uint32_t kRows = 128256, kColumns = 2048, kGroup = 32;
  Random random(4);
  // The packed words are random; the reference decodes them by the layout's formula.
  std::vector<uint32_t> words(size_t{kRows} * kColumns / 8);
  uint64_t state = random.below(0xffffffff) | 1;
  for (uint32_t& word : words) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    word = static_cast<uint32_t>(state >> 32);
  }
  std::vector<uint32_t> scales(size_t{kRows} * (kColumns / kGroup) / 2);
  for (uint32_t& word : scales) {
    word = f32_to_f16(random.uniform(0.005f, 0.015f)) * 0x10001u;
  }
  const std::vector<uint32_t> tokens{0, 1, 65535, 65536, 128255, 100003};
  std::vector<uint32_t> out(tokens.size() * kColumns, kPoison);
  KernelCall call;
  ASSERT_TRUE(call_embedding(gpu->caps(),
                             {.tokens = 6,
                              .rows = kRows,
                              .columns = kColumns,
                              .format = {.group_size = kGroup},
                              .row_begin = 0,
                              .row_count = kRows},
                             &call, nullptr)
                  .ok());
  ASSERT_EQ(gpu->run(call, {reads(step_with(tokens)), reads(words), reads(scales), writes(out)}),
            "");
  for (size_t t = 0; t < tokens.size(); ++t) {
    const size_t n = tokens[t];
    for (size_t k = 0; k < kColumns; ++k) {
      const uint32_t word = words[((n / 16) * (kColumns / 8) + k / 8) * 16 + n % 16];
      const int nibble = (word >> (8 * (k % 4) + (k % 8 >= 4 ? 4 : 0))) & 15;
      const size_t half = ((n / 16) * (kColumns / kGroup) + k / kGroup) * 16 + n % 16;
      const float scale = f16_to_f32(static_cast<uint16_t>(scales[half / 2] >> (16 * (half % 2))));
      ASSERT_EQ(static_cast<float>(nibble - 8) * scale,
                std::bit_cast<float>(out[t * kColumns + k]));
    }
  }
}

}  // namespace
}  // namespace nbl::test
