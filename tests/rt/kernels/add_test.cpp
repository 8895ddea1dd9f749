// What could break: the tail of the last workgroup, rows past the live tokens, the folded grid.
#include "rt/kernels/add.h"

#include <gtest/gtest.h>

#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

void expect_sums(Gpu* gpu, const Caps& caps, uint32_t tokens, uint32_t columns, uint32_t live) {
  Random random(columns * 64 + live);
  const auto a = random.normals(size_t{tokens} * columns);
  const auto b = random.normals(size_t{tokens} * columns);
  std::vector<uint32_t> out(size_t{tokens} * row_stride(columns), kPoison);
  KernelCall call;
  ASSERT_TRUE(call_add(caps, {tokens, columns}, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call, {reads(step_words(3, live)), reads(activation_words(a, tokens, columns)),
                            reads(activation_words(b, tokens, columns)), writes(out)}),
            "");
  const auto got = live_rows(out, live, columns);
  ASSERT_EQ(got.size(), size_t{live} * columns);
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i], a[i] + b[i]) << "element " << i;
}

TEST(Add, is_exact) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t columns : {1u, 31u, 32u, 33u, 97u, 576u}) {
    for (const uint32_t live : {1u, 2u, 3u, 5u, 16u, 17u}) {
      expect_sums(gpu, gpu->floor_of_caps(), 17, columns, live);
    }
  }
}

TEST(Add, works_in_a_folded_grid) {
  NBL_REQUIRE_GPU(gpu);
  Caps narrow = gpu->floor_of_caps();
  narrow.max_grid[0] = narrow.max_grid[1] = 7;
  expect_sums(gpu, narrow, 40, 97, 39);
}

TEST(Add, refuses_what_no_grid_holds) {
  Caps narrow = floor_caps();
  narrow.max_grid[0] = narrow.max_grid[1] = 2;
  KernelCall call;
  Error error;
  EXPECT_EQ(call_add(narrow, {100, 1024}, &call, &error).code(), Code::device_limit);
  EXPECT_STREQ(error.name, "add_floor");
}

}  // namespace
}  // namespace nbl::test
