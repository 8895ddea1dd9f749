// What could break: the check itself that no kernel reads or writes outside of what is bound to it,
// under which validation.accesses runs kernels (NIBBLE_VALIDATION=gpu).
#include <gtest/gtest.h>

#include "rt/kernels/copy.h"
#include "tests/support/gpu.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

// Copies 64 columns, however many words the bindings have.
std::string copy_with(Gpu* gpu, size_t source_words, size_t out_words) {
  const std::vector<uint32_t> source(source_words, 7);
  const std::vector<uint32_t> none = {kPoison};
  std::vector<uint32_t> out(out_words, kPoison);
  CopyArgs args{};
  args.tokens = 1;
  args.source_count = 1;
  args.columns[0] = args.taken[0] = 64;
  KernelCall call;
  EXPECT_TRUE(call_copy(gpu->caps(), args, &call, nullptr).ok());
  return gpu->run(call, {reads(step_words(3, 1)), reads(source), reads(none), reads(none),
                         reads(none), writes(out)});
}

TEST(Accesses, outside_of_a_binding_are_told) {
  NBL_REQUIRE_GPU(gpu);
  if (!gpu->has_assisted_checks()) GTEST_SKIP() << "is for NIBBLE_VALIDATION=gpu";
  EXPECT_EQ(copy_with(gpu, 64, 64), "");
  EXPECT_NE(copy_with(gpu, 63, 64).find("access out of bounds"), std::string::npos);
  EXPECT_NE(copy_with(gpu, 64, 63).find("access out of bounds"), std::string::npos);
}

}  // namespace
}  // namespace nbl::test
