// What could break: the order of nibbles in tables that lie row by row, their scales of 16 and 32
// bits, rows whose scales do not fill a word, and that all layouts give the same bits.
#include <gtest/gtest.h>

#include "rt/kernels/embedding.h"
#include "spirv/step_state.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"

namespace nbl::test {
namespace {

constexpr Layout kLayouts[] = {Layout::q4_t16k8, Layout::q4_rows_linear, Layout::q4_rows_embedding};

struct Case {
  uint32_t rows, columns, group_size, tokens;
  bool f32_scales = false;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "V" << c.rows << " E" << c.columns << " G" << c.group_size << " T" << c.tokens
       << (c.f32_scales ? " f32 scales" : "");
}

// One table in a layout: rows from `begin` on, as a window binds them.
struct Table {
  Q4Format format;
  std::span<const uint32_t> values, scales;
};

Table table_of(const Q4Matrix& m, const Q4Wire& wire) {
  return wire.format.tiled() ? Table{m.format(), m.value_words, m.scale_words}
                             : Table{wire.format, wire.value_words, wire.scale_words};
}

void gather(Gpu* gpu, const Caps& caps, const Case& c, const Table& table, uint32_t begin,
            uint32_t count, const std::vector<uint32_t>& tokens, std::vector<uint32_t>* out) {
  std::vector<uint32_t> step(STEP_TOKENS, 0);
  step[STEP_TOKEN_COUNT] = static_cast<uint32_t>(tokens.size());
  step.insert(step.end(), tokens.begin(), tokens.end());
  KernelCall call;
  ASSERT_TRUE(call_embedding(caps,
                             {.tokens = c.tokens,
                              .rows = c.rows,
                              .columns = c.columns,
                              .format = table.format,
                              .row_begin = begin,
                              .row_count = count},
                             &call, nullptr)
                  .ok());
  const auto window = [&](std::span<const uint32_t> words, uint64_t before, uint64_t bytes) {
    return reads(words.subspan(before / 4, bytes / 4));
  };
  const Q4Format& f = table.format;
  ASSERT_EQ(
      gpu->run(
          call,
          {reads(step),
           window(table.values, f.data_bytes(begin, c.columns), f.data_bytes(count, c.columns)),
           window(table.scales, f.scale_bytes(begin, c.columns), f.scale_bytes(count, c.columns)),
           writes(*out)}),
      "");
}

// Float32 arithmetic: four bits times a scale is one rounding, the same in every layout.
void expect_rows(const Q4Matrix& m, const std::vector<uint32_t>& tokens,
                 const std::vector<uint32_t>& out) {
  const uint32_t stride = row_stride(m.columns);
  for (size_t t = 0; t < tokens.size(); ++t) {
    for (uint32_t k = 0; k < stride; ++k) {
      const float value =
          m.values[size_t{tokens[t]} * m.padded_columns + std::min(k, m.columns - 1)];
      const float want = k < m.columns ? value * m.scale_value(tokens[t], k / m.group_size) : 0.0f;
      ASSERT_EQ(want, std::bit_cast<float>(out[t * stride + k]))
          << "token " << t << " column " << k;
    }
  }
}

class EmbeddingRows : public testing::TestWithParam<Case> {};

TEST_P(EmbeddingRows, are_the_same_bits_in_every_layout) {
  NBL_REQUIRE_GPU(gpu);
  const Case& c = GetParam();
  Random random(c.rows * 31 + c.columns + c.group_size);
  const Q4Matrix m = random_q4(random, c.rows, c.columns, c.group_size, 0.01f, c.f32_scales);
  std::vector<uint32_t> tokens(c.tokens);
  for (uint32_t& token : tokens)
    token = random.below(c.rows);
  tokens.front() = c.rows - 1;
  std::vector<uint32_t> first;
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(kLayoutNames[static_cast<size_t>(layout)]);
      const Q4Wire wire = wire_of(m, layout);
      const Table table = table_of(m, wire);
      std::vector<uint32_t> out(size_t{c.tokens} * row_stride(c.columns), kPoison);
      gather(gpu, caps, c, table, 0, table.format.rows(c.rows), tokens, &out);
      expect_rows(m, tokens, out);
      if (first.empty()) first = out;
      EXPECT_EQ(out, first);
    }
  }
}

// The table of the system that this one is measured against. Its cases differ in storage (buffer or
// texture), in the type of the output, in the scales and in the order of nibbles; index tensors of
// two dimensions are plain rows of tokens here. The last row stands for a vocabulary of 128256, see
// EmbeddingRowsLarge.
INSTANTIATE_TEST_SUITE_P(Peer, EmbeddingRows,
                         testing::Values(Case{16, 32, 32, 4}, Case{16, 32, 32, 4, true},
                                         Case{32, 64, 32, 2 * 3}, Case{32, 64, 32, 2 * 3, true},
                                         Case{100, 128, 32, 4 * 8}, Case{100, 128, 32, 4 * 8, true},
                                         Case{50, 64, 64, 2 * 4}, Case{64, 64, 32, 4},
                                         Case{512, 2048, 64, 4}, Case{1000, 2048, 32, 2047},
                                         Case{1000, 2048, 32, 2047, true}));

std::vector<Case> any_size() {
  std::vector<Case> cases;
  for (const uint32_t columns : {1u, 2u, 4u, 6u, 7u, 32u, 34u, 64u, 97u, 2048u}) {
    for (const uint32_t group : {8u, 16u, 32u, 64u, 128u, 256u}) {
      cases.push_back({.rows = 1 + columns % 37,
                       .columns = columns,
                       .group_size = group,
                       .tokens = 3,
                       .f32_scales = cases.size() % 2 == 0});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(AnySize, EmbeddingRows, testing::ValuesIn(any_size()));

// Swapping the nibbles of every byte turns one order into the other, and nothing else changes.
TEST(EmbeddingOrders, differ_in_the_nibbles_of_a_byte_alone) {
  Random random(21);
  const Q4Matrix m = random_q4(random, 9, 70, 32);
  const Q4Wire linear = wire_of(m, Layout::q4_rows_linear);
  Q4Wire swapped = wire_of(m, Layout::q4_rows_embedding);
  EXPECT_NE(linear.value_words, swapped.value_words);
  for (uint32_t& word : swapped.value_words)
    word = (word >> 4 & 0x0f0f0f0fu) | (word & 0x0f0f0f0fu) << 4;
  EXPECT_EQ(linear.value_words, swapped.value_words);
  EXPECT_EQ(linear.scale_words, swapped.scale_words);
}

TEST(EmbeddingRowWindows, write_only_the_tokens_inside_them) {
  NBL_REQUIRE_GPU(gpu);
  for (const bool f32 : {false, true}) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(kLayoutNames[static_cast<size_t>(layout)]);
      const Case c{.rows = 301, .columns = 24, .group_size = 8, .tokens = 7, .f32_scales = f32};
      Random random(22);
      const Q4Matrix m = random_q4(random, c.rows, c.columns, c.group_size, 0.01f, f32);
      const Q4Wire wire = wire_of(m, layout);
      const Table table = table_of(m, wire);
      const std::vector<uint32_t> tokens{0, 127, 128, 255, 256, 300, 5};
      std::vector<uint32_t> out(tokens.size() * 32, kPoison);
      gather(gpu, gpu->caps(), c, table, 128, 128, tokens, &out);
      for (size_t t = 0; t < tokens.size(); ++t) {
        EXPECT_EQ(out[t * 32] == kPoison, tokens[t] / 128 != 1) << tokens[t];
        EXPECT_EQ(out[t * 32 + 31] == kPoison, tokens[t] / 128 != 1) << tokens[t];
      }
      gather(gpu, gpu->caps(), c, table, 0, 128, tokens, &out);
      gather(gpu, gpu->caps(), c, table, 256, table.format.rows(c.rows) - 256, tokens, &out);
      expect_rows(m, tokens, out);
    }
  }
}

// Whatever a file has in the padding of a row, later kernels find zeros there.
TEST(EmbeddingRowPadding, is_zero_even_where_the_file_has_other_nibbles) {
  NBL_REQUIRE_GPU(gpu);
  const Case c{.rows = 3, .columns = 34, .group_size = 64, .tokens = 1};
  Random random(23);
  Q4Matrix m = random_q4(random, c.rows, c.columns, c.group_size);
  Q4Wire wire = wire_of(m, Layout::q4_rows_linear);
  for (uint32_t n = 0; n < c.rows; ++n) {
    for (uint32_t k = 5; k < 8; ++k)
      wire.value_words[n * 8 + k] = 0x12345678u;
    wire.value_words[n * 8 + 4] &= 0xffu;
  }
  std::vector<uint32_t> out(64, kPoison);
  gather(gpu, gpu->caps(), c, table_of(m, wire), 0, c.rows, {1}, &out);
  expect_rows(m, {1}, out);
}

// 128256 x 2048, the Llama 3.2 1B table, in every layout: addresses near the 128 MiB limit of one
// binding. Few tokens: what a test of a prompt of 2047 adds is the grid, which the cases above
// have.
TEST(EmbeddingRowsLarge, gather_from_a_llama_table) {
  NBL_REQUIRE_GPU(gpu);
  constexpr uint32_t kRows = 128256, kColumns = 2048, kGroup = 32;
  std::vector<uint32_t> words(size_t{kRows} * kColumns / 8);
  Random random(24);
  uint64_t state = random.below(0xffffffff) | 1;
  for (uint32_t& word : words) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    word = static_cast<uint32_t>(state >> 32);
  }
  const std::vector<uint32_t> tokens{0, 1, 65535, 65536, 128255, 100003};
  const Case c{.rows = kRows, .columns = kColumns, .group_size = kGroup, .tokens = 6};
  for (const bool f32 : {false, true}) {
    std::vector<uint32_t> scales(size_t{kRows} * (kColumns / kGroup) / (f32 ? 1 : 2));
    for (uint32_t& word : scales) {
      const float scale = random.uniform(0.005f, 0.015f);
      word = f32 ? std::bit_cast<uint32_t>(scale) : f32_to_f16(scale) * 0x10001u;
    }
    for (const Layout layout : {Layout::q4_rows_linear, Layout::q4_rows_embedding}) {
      std::vector<uint32_t> out(tokens.size() * kColumns, kPoison);
      gather(gpu, gpu->caps(), c, {{layout, kGroup, f32}, words, scales}, 0, kRows, tokens, &out);
      for (size_t t = 0; t < tokens.size(); ++t) {
        for (uint32_t k = 0; k < kColumns; ++k) {
          const uint64_t at = uint64_t{tokens[t]} * kColumns + k;
          const auto byte = static_cast<uint8_t>(words[at / 8] >> (8 * (at / 2 % 4)));
          const bool low = (k % 2 == 0) == (layout == Layout::q4_rows_linear);
          const float value = static_cast<float>((low ? byte & 15 : byte >> 4) - 8);
          const uint64_t group = at / kGroup;
          const uint32_t word = scales[f32 ? group : group / 2];
          const float scale = f32 ? std::bit_cast<float>(word)
                                  : f16_to_f32(static_cast<uint16_t>(word >> (16 * (group % 2))));
          ASSERT_EQ(value * scale, std::bit_cast<float>(out[t * kColumns + k])) << t << " " << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace nbl::test
