// Could break: a driver taken without a loader does not work or gives other tokens, one that cannot
// be used is, or whoever brings a board up is not told which library is wrong, and why.
#include "boards/common/vulkan_entry.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "boards/common/icd_interface.h"
#include "tests/support/engine.h"
#include "tests/support/fault_rig.h"
#include "tests/support/process.h"

namespace nbl {
namespace {

using test::ProcessResult;
using test::run_process;
using test::TempFile;

constexpr const char* kLavapipe = "libvulkan_lvp.so";

// The sentence for a library that is refused.
std::string why(const std::string& library) {
  char text[NBL_VULKAN_WHY_BYTES] = "nothing";
  EXPECT_EQ(nbl_vulkan_entry_of(library.c_str(), text, sizeof text), nullptr);
  return text;
}

// The same of tests/boards/common/strange_icd.c as it is told to be.
std::string why_not(const char* version, const char* result) {
  setenv("NIBBLE_ICD_VERSION", version, 1);
  setenv("NIBBLE_ICD_RESULT", result, 1);
  return why(NIBBLE_STRANGE_ICD);
}

TEST(VulkanEntry, names_a_library_that_cannot_be_opened) {
  EXPECT_EQ(why("/nonexistent/vulkan.so")
                .find("there is no Vulkan library /nonexistent/vulkan.so that can be opened: "),
            0u);
  const TempFile text("no library", ".so");
  EXPECT_NE(why(text.path()).find(text.path().string()), std::string::npos);
}

TEST(VulkanEntry, names_a_library_that_is_no_vulkan) {
  EXPECT_EQ(why("libm.so.6"),
            "libm.so.6 is no Vulkan: it has neither vkGetInstanceProcAddr, as a loader has, nor "
            "vk_icdGetInstanceProcAddr, as a driver has");
}

TEST(VulkanEntry, takes_drivers_of_the_versions_that_it_knows) {
  EXPECT_EQ(why_not("1", "0"), NIBBLE_STRANGE_ICD
            " is a Vulkan driver of interface version 1, and 2 to 5 can be used: install a Vulkan "
            "loader, or another driver");
  EXPECT_NE(why_not("6", "0").find("of interface version 6,"), std::string::npos);
  EXPECT_EQ(why_not("5", "-9"), NIBBLE_STRANGE_ICD
            " is a Vulkan driver that refuses version 5 of the driver interface (VkResult -9)");
  setenv("NIBBLE_ICD_RESULT", "0", 1);
  for (const char* version : {"2", "5"}) {
    setenv("NIBBLE_ICD_VERSION", version, 1);
    EXPECT_NE(nbl_vulkan_entry_of(NIBBLE_STRANGE_ICD, nullptr, 0), nullptr) << version;
  }
}

TEST(VulkanEntry, takes_a_driver_that_does_not_negotiate_as_it_is) {
  EXPECT_EQ(nbl_agree_with_icd(nullptr, "old", nullptr, 0), 1);
}

TEST(VulkanEntry, cuts_a_sentence_that_has_no_room) {
  char text[12];
  EXPECT_EQ(nbl_vulkan_entry_of("/nonexistent/vulkan.so", text, sizeof text), nullptr);
  EXPECT_STREQ(text, "there is no");
}

// Programs that get Vulkan in each way, on one model.
class Entries : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    if (dlopen(kLavapipe, RTLD_NOW | RTLD_LOCAL) == nullptr) GTEST_SKIP() << "there is no lavapipe";
  }
  std::string tokens(const std::string& program, std::vector<std::string> options,
                     const std::vector<std::string>& environment = {}) {
    options.insert(options.begin(), program);
    const ProcessResult result = run_process(options, environment);
    EXPECT_EQ(result.status, 0) << program << ": " << result.err;
    return result.out;
  }
  static std::string model_bytes() {
    const test::AlignedBytes model = test::tiny_model(false);
    return {reinterpret_cast<const char*>(model.span().data()), model.size};
  }

  const TempFile model_{model_bytes(), ".nbl"};
};

TEST_F(Entries, loader_and_driver_opened_at_run_time_give_the_same_tokens) {
  const std::vector<std::string> options = {"-m", model_.path(), "--tokens", "1,2,3",
                                            "-n", "12",          "-q"};
  const std::string expected = tokens(NIBBLE_RUN, options);
  EXPECT_NE(expected, "");
  EXPECT_EQ(tokens(NIBBLE_RUN, options, {std::string("NIBBLE_VULKAN=") + kLavapipe}), expected);
  EXPECT_EQ(tokens(NIBBLE_RUN, options, {"NIBBLE_VULKAN=libvulkan.so.1"}), expected);
}

TEST_F(Entries, loader_and_driver_linked_give_the_same_tokens) {
  const std::vector<std::string> options = {model_.path(), "1", "2", "3"};
  const std::string expected = tokens(MINIMAL, options);
  EXPECT_NE(expected, "");
  EXPECT_EQ(tokens(MINIMAL_LINKED, options), expected);
  EXPECT_EQ(tokens(MINIMAL_LINKED_ICD, options), expected);
}

TEST_F(Entries, a_wrong_library_in_the_environment_is_one_line) {
  const ProcessResult result =
      run_process({NIBBLE_RUN, "-m", model_.path(), "-q", "--tokens", "1", "-n", "2"},
                  {"NIBBLE_VULKAN=/nonexistent/vulkan.so"});
  EXPECT_GT(result.status, 0);
  EXPECT_EQ(result.error_lines(), 1);
  EXPECT_EQ(result.err.find("nibble-run: NIBBLE_VULKAN: there is no Vulkan library "
                            "/nonexistent/vulkan.so that can be opened: "),
            0u)
      << result.err;
}

}  // namespace
}  // namespace nbl
