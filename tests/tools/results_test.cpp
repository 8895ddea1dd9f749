// Could break: a result that cannot be told from another's, a picture that is not of its data.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/fault_rig.h"
#include "tests/support/process.h"

namespace nbl {
namespace {

using nlohmann::json;
using test::run_process;
using test::TempFile;

const std::string kScript = std::string(NIBBLE_SOURCE_DIR) + "/bench/roofline.py";

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Results : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static json bench(std::vector<std::string> options) {
    const test::AlignedBytes model = test::tiny_model(false);
    const TempFile file({reinterpret_cast<const char*>(model.span().data()), model.size}, ".nbl");
    std::vector<std::string> command = {NIBBLE_BENCH, "-m",  file.path().string(), "-r", "2",
                                        "-o",         "json"};
    command.insert(command.end(), options.begin(), options.end());
    const test::ProcessResult result = run_process(command);
    EXPECT_EQ(result.status, 0) << result.err;
    return json::parse(result.out);
  }
};

TEST_F(Results, say_what_they_are_of) {
  const json result = bench({"-p", "3", "-n", "2", "--no-copy", "--seed", "7"});
  EXPECT_FALSE(result.at("device").get<std::string>().empty());
  EXPECT_FALSE(result.at("driver").get<std::string>().empty());
  const std::string command = result.at("command");
  EXPECT_EQ(command.find("nibble-bench -m "), 0u) << command;
  EXPECT_NE(command.find(" --seed 7"), std::string::npos) << command;
  EXPECT_FALSE(result.contains("gigaflops"));
  EXPECT_EQ(result.at("tests").size(), 2u);
}

TEST_F(Results, have_a_limit_for_every_kernel) {
  const json result = bench({"-p", "0", "-n", "0", "--kernels"});
  ASSERT_FALSE(result.at("kernels").empty());
  const double copy = result.at("copy").at("gigabytes_per_second");
  const double peak = result.at("gigaflops");
  for (const json& phase : result.at("kernels")) {
    for (const json& row : phase.at("rows")) {
      const std::string kernel = row.at("kernel");
      EXPECT_GT(row.at("bytes").get<uint64_t>(), 0u) << kernel;
      EXPECT_GT(row.at("flops").get<uint64_t>(), 0u) << kernel;
      EXPECT_NEAR(row.at("percent_of_copy").get<double>() * copy / 100,
                  row.at("gigabytes_per_second").get<double>(), 1e-9);
      EXPECT_NEAR(row.at("percent_of_peak").get<double>() * peak / 100,
                  row.at("gigaflops").get<double>(), 1e-9);
      EXPECT_FALSE(row.at("bound").get<std::string>().empty()) << kernel;
    }
  }
}

class RooflinePicture : public testing::Test {
 protected:
  void SetUp() override {
    if (run_process({"/usr/bin/env", "python3", "--version"}).status != 0)
      GTEST_SKIP() << "no python3";
  }
};

// The picture of docs/performance.md and what it was drawn from.
TEST_F(RooflinePicture, is_that_of_the_checked_in_result) {
  const std::string root = NIBBLE_SOURCE_DIR;
  const TempFile picture("", ".svg");
  const std::string result = root + "/bench/results/lavapipe-15m.json";
  const test::ProcessResult drawn =
      run_process({"/usr/bin/env", "python3", kScript, result, picture.path().string()});
  EXPECT_EQ(drawn.status, 0) << drawn.err;
  EXPECT_EQ(text_of(picture.path()), text_of(root + "/docs/roofline.svg"))
      << "bench/roofline.py draws another picture of " << result;
  const json data = json::parse(text_of(result));
  for (const char* const key : {"commit", "command", "device", "driver"})
    EXPECT_FALSE(data.at(key).get<std::string>().empty()) << key;
  for (const json& phase : data.at("kernels")) {
    for (const json& row : phase.at("rows"))
      EXPECT_NE(text_of(picture.path()).find(row.at("kernel").get<std::string>() + " "),
                std::string::npos)
          << "a kernel without a name in the picture";
  }
}

TEST_F(RooflinePicture, of_an_unfit_result_is_refused_in_a_line) {
  const TempFile picture("", ".svg");
  const std::string data =
      text_of(std::string(NIBBLE_SOURCE_DIR) + "/bench/results/lavapipe-15m.json");
  json no_kernels = json::parse(data);
  no_kernels["kernels"] = json::array();
  json no_copy = json::parse(data);
  no_copy.erase("copy");
  const std::pair<std::string, const char*> cases[] = {{no_kernels.dump(), "without --kernels"},
                                                       {no_copy.dump(), "--no-copy"},
                                                       {"{}", "has no"},
                                                       {"{ nonsense", "is no JSON"}};
  for (const auto& [text, part] : cases) {
    const TempFile file(text, ".json");
    const test::ProcessResult result = run_process(
        {"/usr/bin/env", "python3", kScript, file.path().string(), picture.path().string()});
    EXPECT_EQ(result.status, 1) << part;
    EXPECT_EQ(result.error_lines(), 1) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
}

}  // namespace
}  // namespace nbl
