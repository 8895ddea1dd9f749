// What could break: a column taken from beside the right one, or from another input, where widths
// and offsets are no multiples of anything; the padding; rows past the live tokens.
#include "rt/kernels/copy.h"

#include <gtest/gtest.h>

#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

struct Rows {
  uint32_t tokens, live;
};
constexpr Rows kRows[] = {{1, 1}, {5, 4}, {17, 17}};

// Rows of numbers that say where they come from.
std::vector<float> numbered(uint32_t tokens, uint32_t columns, uint32_t source) {
  std::vector<float> values;
  for (uint32_t t = 0; t < tokens; ++t) {
    for (uint32_t c = 0; c < columns; ++c)
      values.push_back(static_cast<float>(source * 1000000 + t * 10000 + c));
  }
  return values;
}

std::vector<float> run(Gpu* gpu, const Caps& caps, const CopyArgs& args, uint32_t source_rows,
                       uint32_t live) {
  std::vector<uint32_t> sources[kMaxCopySources];
  uint32_t columns = 0;
  for (uint32_t s = 0; s < kMaxCopySources; ++s) {
    const bool used = s < args.source_count;
    sources[s] = used ? activation_words(numbered(source_rows, args.columns[s], s), source_rows,
                                         args.columns[s])
                      : std::vector<uint32_t>{kPoison};
    columns += used ? args.taken[s] : 0;
  }
  std::vector<uint32_t> out(size_t{args.tokens} * row_stride(columns), kPoison);
  KernelCall call;
  EXPECT_TRUE(call_copy(caps, args, &call, nullptr).ok());
  EXPECT_EQ(gpu->run(call, {reads(step_words(3, live)), reads(sources[0]), reads(sources[1]),
                            reads(sources[2]), reads(sources[3]), writes(out)}),
            "");
  return live_rows(out, args.last_of != 0 ? 1 : live, columns);
}

TEST(Copy, takes_any_slice_of_columns) {
  NBL_REQUIRE_GPU(gpu);
  Caps narrow = gpu->floor_of_caps();
  narrow.max_grid[0] = narrow.max_grid[1] = 11;
  const struct {
    uint32_t columns, offset, taken;
  } cases[] = {{1, 0, 1},  {2, 1, 1},    {31, 0, 31}, {33, 1, 32},    {33, 32, 1},
               {64, 3, 7}, {97, 13, 31}, {97, 5, 92}, {576, 191, 193}};
  for (const Caps& caps : {gpu->caps(), narrow}) {
    for (const auto& c : cases) {
      for (const Rows& rows : kRows) {
        const auto got = run(
            gpu, caps,
            {.tokens = rows.tokens, .columns = {c.columns}, .taken = {c.taken}, .offset = c.offset},
            rows.tokens, rows.live);
        ASSERT_EQ(got.size(), size_t{rows.live} * c.taken);
        for (uint32_t i = 0; i < got.size(); ++i) {
          ASSERT_EQ(got[i], static_cast<float>(i / c.taken * 10000 + c.offset + i % c.taken))
              << c.taken << " of " << c.columns << " from " << c.offset;
        }
      }
    }
  }
}

TEST(Copy, puts_two_to_four_inputs_side_by_side) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<std::vector<uint32_t>> cases = {
      {1, 1}, {1, 33}, {33, 1}, {31, 2, 3}, {1, 1, 1, 1}, {13, 7, 31, 37}, {64, 97, 1, 5}};
  for (const auto& widths : cases) {
    for (const Rows& rows : kRows) {
      CopyArgs args{.tokens = rows.tokens,
                    .source_count = static_cast<uint32_t>(widths.size()),
                    .columns = {},
                    .taken = {}};
      std::vector<std::pair<uint32_t, uint32_t>> origin;  // source and column
      for (uint32_t s = 0; s < widths.size(); ++s) {
        args.columns[s] = args.taken[s] = widths[s];
        for (uint32_t c = 0; c < widths[s]; ++c)
          origin.emplace_back(s, c);
      }
      const auto got = run(gpu, gpu->floor_of_caps(), args, rows.tokens, rows.live);
      ASSERT_EQ(got.size(), rows.live * origin.size());
      for (size_t i = 0; i < got.size(); ++i) {
        const auto [source, column] = origin[i % origin.size()];
        ASSERT_EQ(got[i],
                  static_cast<float>(source * 1000000 + i / origin.size() * 10000 + column));
      }
    }
  }
}

TEST(Copy, swaps_heads_and_columns) {
  NBL_REQUIRE_GPU(gpu);
  const struct {
    uint32_t heads, dim;
  } cases[] = {{1, 1}, {1, 7}, {7, 1}, {2, 16}, {3, 5}, {31, 33}, {32, 2}, {13, 17}};
  for (const auto& c : cases) {
    for (const Rows& rows : kRows) {
      const uint32_t columns = c.heads * c.dim;
      const auto got = run(gpu, gpu->floor_of_caps(),
                           {.tokens = rows.tokens,
                            .columns = {columns},
                            .taken = {columns},
                            .period = c.heads,
                            .inner = c.dim,
                            .outer = 1},
                           rows.tokens, rows.live);
      ASSERT_EQ(got.size(), size_t{rows.live} * columns);
      for (uint32_t t = 0; t < rows.live; ++t) {
        for (uint32_t h = 0; h < c.heads; ++h) {
          for (uint32_t d = 0; d < c.dim; ++d) {
            ASSERT_EQ(got[t * columns + d * c.heads + h],
                      static_cast<float>(t * 10000 + h * c.dim + d));
          }
        }
      }
    }
  }
}

TEST(Copy, takes_the_last_live_row) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t live : {1u, 2u, 7u}) {
    const auto got = run(gpu, gpu->floor_of_caps(),
                         {.tokens = 1, .last_of = 7, .columns = {37}, .taken = {37}}, 7, live);
    ASSERT_EQ(got.size(), 37u);
    for (uint32_t c = 0; c < 37; ++c)
      EXPECT_EQ(got[c], static_cast<float>((live - 1) * 10000 + c));
  }
}

TEST(Copy, refuses_what_no_grid_holds) {
  Caps narrow = floor_caps();
  narrow.max_grid[0] = narrow.max_grid[1] = 2;
  KernelCall call;
  Error error;
  const CopyArgs args{.tokens = 100, .columns = {1024}, .taken = {1024}};
  EXPECT_EQ(call_copy(narrow, args, &call, &error).code(), Code::device_limit);
  EXPECT_STREQ(error.name, "copy_floor");
}

}  // namespace
}  // namespace nbl::test
