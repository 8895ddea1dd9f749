// Could break: the firmware examples do not build from what nibblec emits, do not answer, or carry
// kernels that they do not need.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/engine.h"
#include "tests/support/figure.h"
#include "tests/support/process.h"

namespace nbl {
namespace {

constexpr const char* kPrompt = "set a timer for an hour and a half";

TEST(Firmware, answers_as_nibble_run_does) {
  NBL_REQUIRE_VULKAN();
  const test::ProcessResult expected = test::run_process(
      {NIBBLE_RUN, "-m", FIRMWARE_MODEL, "--chat", "-q"}, {}, std::string(kPrompt) + "\n");
  ASSERT_EQ(expected.status, 0) << expected.err;
  ASSERT_NE(expected.out.find("timer"), std::string::npos) << expected.out;
  const test::ProcessResult linked = test::run_process({FIRMWARE_LINKED}, {}, kPrompt);
  EXPECT_EQ(linked.status, 0) << linked.err;
  EXPECT_EQ(linked.out, expected.out);
  const test::ProcessResult mapped =
      test::run_process({FIRMWARE_MAPPED, FIRMWARE_MODEL}, {}, kPrompt);
  EXPECT_EQ(mapped.status, 0) << mapped.err;
  EXPECT_EQ(mapped.out, expected.out);
}

TEST(Firmware, says_what_is_missing) {
  const test::ProcessResult no_model = test::run_process({FIRMWARE_MAPPED, "/no/such/model"});
  EXPECT_NE(no_model.status, 0);
  EXPECT_EQ(no_model.error_lines(), 1) << no_model.err;
  const test::ProcessResult no_driver = test::run_process(
      {FIRMWARE_LINKED}, {"VK_DRIVER_FILES=/nowhere", "VK_ICD_FILENAMES=/nowhere"}, kPrompt);
  EXPECT_NE(no_driver.status, 0);
  EXPECT_EQ(no_driver.error_lines(), 1) << no_driver.err;
}

// A program without a dynamic section: nothing but the kernel is needed to run it.
TEST(Firmware, runs_in_a_static_image_with_a_driver_of_its_own) {
  const test::ProcessResult first = test::run_process({FIRMWARE_STATIC}, {}, kPrompt);
  EXPECT_EQ(first.status, 0) << first.err;
  EXPECT_GT(first.out.size(), 1u);
  EXPECT_EQ(test::run_process({FIRMWARE_STATIC}, {}, kPrompt).out, first.out);
  const test::ProcessResult headers = test::run_process({READELF, "-dW", FIRMWARE_STATIC});
  EXPECT_NE(headers.out.find("no dynamic section"), std::string::npos) << headers.out;
}

TEST(Firmware, links_only_the_kernels_of_its_model) {
  const uintmax_t all = std::filesystem::file_size(FIRMWARE_ALL_KERNELS);
  const uintmax_t some = std::filesystem::file_size(FIRMWARE_MAPPED);
  test::figure("firmware with all kernels " + test::with_commas(all) + " bytes, with its model's " +
               test::with_commas(some));
  EXPECT_LT(some + 500000, all);
}

}  // namespace
}  // namespace nbl
