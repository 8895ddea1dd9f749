// Could break: a depth of the list that is not run or has the figures of another, bytes of keys and
// values that do not grow with it, tests of two depths compared with each other.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/fault_rig.h"
#include "tests/support/process.h"
#include "tools/common/compare_results.h"

namespace nbl {
namespace {

using nlohmann::json;
using test::run_process;
using test::TempFile;

class Depths : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static test::ProcessResult bench(std::vector<std::string> options) {
    const test::AlignedBytes model = test::tiny_model(false);
    const TempFile file({reinterpret_cast<const char*>(model.span().data()), model.size}, ".nbl");
    std::vector<std::string> command = {
        NIBBLE_BENCH, "-m", file.path().string(), "-r", "2", "--no-copy", "-p", "3", "-n", "4"};
    command.insert(command.end(), options.begin(), options.end());
    return run_process(command);
  }
};

TEST_F(Depths, of_a_list_have_each_every_test) {
  const test::ProcessResult ran = bench({"-d", "0,40,16", "-o", "json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const json result = json::parse(ran.out);
  ASSERT_EQ(result.at("tests").size(), 6u);
  const uint32_t depths[] = {0, 40, 16};
  const double row_bytes = result.at("memory").at("kv_bytes").get<double>() / 64;
  for (size_t i = 0; i < 6; ++i) {
    const json& test = result["tests"][i];
    EXPECT_EQ(test.at("depth"), depths[i / 2]);
    EXPECT_EQ(test.at("test"), i % 2 == 0 ? "pp" : "tg");
    if (i % 2 == 0) continue;
    // Tokens at depth + 1 to depth + 4, each of which sees itself.
    const double per_token =
        result.at("decode_weight_bytes").get<double>() + row_bytes * (depths[i / 2] + 3.5);
    EXPECT_NEAR(test.at("gigabytes_per_second").get<double>(),
                test.at("tokens_per_second_mean").get<double>() * per_token / 1e9, 1e-9);
  }
}

TEST_F(Depths, are_named_in_the_table_and_compared_with_their_own) {
  const test::ProcessResult table = bench({"-d", "0,16"});
  EXPECT_EQ(table.status, 0) << table.err;
  for (const char* const row : {"| pp 3 |", "| tg 4 |", "| pp 3 @ 16 |", "| tg 4 @ 16 |"})
    EXPECT_NE(table.out.find(row), std::string::npos) << table.out;
  const TempFile two(bench({"-d", "0,16", "-o", "json"}).out, ".json");
  const TempFile one(bench({"-d", "0", "-o", "json"}).out, ".json");
  const std::string compared = tools::compare_results(two.path().string(), one.path().string());
  const size_t deep = compared.find("tg 4 @ 16");
  ASSERT_NE(deep, std::string::npos) << compared;
  EXPECT_EQ(compared.substr(deep, compared.find('\n', deep) - deep).find('+'), std::string::npos)
      << "one of them has no such depth: " << compared;
}

TEST_F(Depths, without_room_are_refused_before_anything_runs) {
  const test::ProcessResult ran = bench({"-d", "0,64"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.error_lines(), 1) << ran.err;
  EXPECT_NE(ran.err.find("the depth needs 65 positions, the context has 64"), std::string::npos)
      << ran.err;
  EXPECT_EQ(ran.out, "");
  const test::ProcessResult test = bench({"-d", "0,60"});
  EXPECT_EQ(test.error_lines(), 1) << test.err;
  EXPECT_NE(test.err.find("tg 4 @ 60 needs 65 positions"), std::string::npos) << test.err;
}

}  // namespace
}  // namespace nbl
