// Could break: before and after swapped, a slower kernel called faster, noise called a change,
// figures of different things compared, a wrong file that ends in something else than a sentence.
#include "tools/common/compare_results.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"
#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

using nlohmann::json;
using test::TempFile;

json a_test(const char* name, uint32_t tokens, double mean, double deviation) {
  return {{"test", name},
          {"tokens", tokens},
          {"tokens_per_second_mean", mean},
          {"tokens_per_second_stddev", deviation},
          {"seconds", {1, 2, 3}}};
}

json a_kernel(const char* name, double us, double deviation) {
  return {{"kernel", name}, {"us_a_step", us}, {"us_a_step_stddev", deviation}};
}

json a_result() {
  return {{"model_name", "m"},
          {"device", "d"},
          {"driver", "v1"},
          {"depth", 0},
          {"tests", {a_test("pp", 16, 100, 5), a_test("tg", 8, 200, 10)}},
          {"kernels",
           {{{"phase", "decode"},
             {"tokens", 1},
             {"steps", 5},
             {"rows", {a_kernel("gemv", 50, 1), a_kernel("sdpa", 20, 1)}}}}}};
}

std::string compared(const json& before, const json& after) {
  const TempFile a(before.dump(), ".json"), b(after.dump(), ".json");
  return compare_results(a.path().string(), b.path().string());
}

// The line of the table that begins with this name.
std::string line_of(const std::string& text, const std::string& name) {
  const size_t at = text.find("| " + name + " ");
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Compare, marks_what_is_beyond_the_spread) {
  json after = a_result();
  after["tests"][0] = a_test("pp", 16, 111, 5);  // 11 > 5 + 5
  after["tests"][1] = a_test("tg", 8, 181, 10);  // 19 < 10 + 10
  after["kernels"][0]["rows"][0] = a_kernel("gemv", 53, 1.5);
  after["kernels"][0]["rows"][1] = a_kernel("sdpa", 17, 1);
  const std::string text = compared(a_result(), after);
  const std::string pp = line_of(text, "pp 16"), tg = line_of(text, "tg 8");
  EXPECT_TRUE(has(pp, "100.00 ± 5.00") && has(pp, "111.00 ± 5.00") && has(pp, "+11.0")) << pp;
  EXPECT_LT(pp.find("100.00"), pp.find("111.00"));
  EXPECT_TRUE(has(pp, "faster")) << pp;
  EXPECT_TRUE(has(tg, "-9.5") && !has(tg, "slower") && !has(tg, "faster")) << tg;
  // A time that grows is a regression.
  const std::string gemv = line_of(text, "decode 1 gemv"), sdpa = line_of(text, "decode 1 sdpa");
  EXPECT_TRUE(has(gemv, "+6.0") && has(gemv, "slower")) << gemv;
  EXPECT_TRUE(has(sdpa, "-15.0") && has(sdpa, "faster")) << sdpa;
  EXPECT_TRUE(has(line_of(compared(after, a_result()), "pp 16"), "slower"));
}

TEST(Compare, of_a_result_with_itself_marks_nothing) {
  const std::string text = compared(a_result(), a_result());
  EXPECT_FALSE(has(text, "slower") || has(text, "faster") || has(text, "->")) << text;
  EXPECT_TRUE(has(line_of(text, "tg 8"), "+0.0"));
}

TEST(Compare, does_not_guess_the_spread_of_one_run) {
  json once = a_result();
  once["tests"][0] = a_test("pp", 16, 10, 0);
  once["tests"][0]["seconds"] = {1};
  once["kernels"][0]["rows"][0].erase("us_a_step_stddev");
  once["kernels"][0]["rows"][0]["us_a_step"] = 500;
  const std::string text = compared(a_result(), once);
  EXPECT_TRUE(has(line_of(text, "pp 16"), "-90.0"));
  EXPECT_TRUE(has(line_of(text, "decode 1 gemv"), "+900.0"));
  EXPECT_FALSE(has(text, "slower")) << text;
}

TEST(Compare, names_what_else_is_different) {
  json after = a_result();
  after["driver"] = "v2";
  after["commit"] = "abc";
  after["tests"].push_back(a_test("tg", 64, 7, 1));
  after["tests"].erase(0);
  const std::string text = compared(a_result(), after);
  EXPECT_TRUE(has(text, "driver: v1 -> v2\n") && has(text, "commit: unknown -> abc\n")) << text;
  EXPECT_TRUE(has(line_of(text, "pp 16"), "100.00 ± 5.00")) << text;
  EXPECT_TRUE(has(line_of(text, "tg 64"), "7.00 ± 1.00")) << text;
  EXPECT_FALSE(has(line_of(text, "tg 64"), "+")) << text;
}

TEST(Compare, shows_starts_sustained_speed_and_energy) {
  json before = a_result();
  before["start"] = {{"no_cache_seconds", {0.4, 0.4}}, {"with_cache_seconds", {0.1, 0.1}}};
  before["sustained"]["intervals"] = {{{"tokens_per_second", 50}}, {{"tokens_per_second", 50}}};
  before["tests"][1]["energy"] = {{{"sensor", "package-0"}, {"joules_per_token", 0.5}}};
  json after = before;
  after["start"]["with_cache_seconds"] = {0.2, 0.2};
  after["sustained"]["intervals"][1]["tokens_per_second"] = 150;
  after["tests"][1]["energy"][0]["joules_per_token"] = 0.25;
  const std::string text = compared(before, after);
  const std::string start = line_of(text, "start, with cache, ms");
  EXPECT_TRUE(has(start, "100.00") && has(start, "200.00") && has(start, "slower")) << text;
  EXPECT_TRUE(has(line_of(text, "start, no cache, ms"), "+0.0")) << text;
  const std::string sustained = line_of(text, "sustained");
  EXPECT_TRUE(has(sustained, "100.00 ± 70.71") && has(sustained, "+100.0")) << text;
  const std::string energy = line_of(text, "tg 8 mJ/token, package-0");
  EXPECT_TRUE(has(energy, "500.00") && has(energy, "-50.0")) << text;
  EXPECT_EQ(line_of(compared(a_result(), before), "sustained").find('+'), std::string::npos);
  after["start"]["with_cache_seconds"] = "soon";
  EXPECT_THROW(compared(before, after), Failure);
}

TEST(Compare, knows_depths_apart) {
  json before = a_result();
  before["tests"][0]["depth"] = 0;
  before["tests"].push_back(a_test("pp", 16, 40, 1));
  before["tests"][2]["depth"] = 512;
  json after = before;
  after["tests"][2] = a_test("pp", 16, 80, 1);
  after["tests"][2]["depth"] = 512;
  const std::string text = compared(before, after);
  EXPECT_TRUE(has(line_of(text, "pp 16 @ 512"), "+100.0")) << text;
  EXPECT_TRUE(has(line_of(text, "pp 16"), "+0.0")) << text;
}

TEST(Compare, refuses_files_of_another_shape) {
  const auto refused = [](const std::string& before, const std::string& after) -> std::string {
    const TempFile a(before, ".json"), b(after, ".json");
    try {
      return "not refused: " + compare_results(a.path().string(), b.path().string());
    } catch (const Failure& failure) {
      return failure.what();
    }
  };
  const auto changed = [](const std::function<void(json*)>& change) {
    json result = a_result();
    change(&result);
    return result.dump();
  };
  const std::string good = a_result().dump();
  EXPECT_TRUE(has(refused(good, "| test | tokens/s |"), "it is no JSON"));
  EXPECT_TRUE(has(refused("[1, 2]", good), "is no result of nibble-bench -o json: "));
  EXPECT_TRUE(has(refused("{}", good), "key 'tests' not found")) << refused("{}", good);
  EXPECT_TRUE(has(refused(good, "{\"tests\": 3, \"kernels\": []}"), "is no result"));
  for (const char* const key : {"tests", "kernels", "model_name", "device", "depth"}) {
    const std::string text = changed([&](json* r) { r->erase(key); });
    EXPECT_TRUE(has(refused(good, text), "'" + std::string(key) + "' not found")) << key;
  }
  EXPECT_TRUE(has(refused(good, changed([](json* r) { (*r)["tests"][0]["tokens"] = "many"; })),
                  "is no result"));
  const std::string other_model = changed([](json* r) { (*r)["model_name"] = "other"; });
  EXPECT_TRUE(has(refused(good, other_model), "model m")) << refused(good, other_model);
  EXPECT_TRUE(has(refused(good, changed([](json* r) { (*r)["depth"] = 7; })), "depth 0"));
  const std::string other_tests = changed([](json* r) {
    (*r)["tests"] = json::array({a_test("pp", 17, 1, 1)});
    (*r)["kernels"] = json::array();
  });
  EXPECT_TRUE(has(refused(good, other_tests), "no test in common"));
  EXPECT_THROW(compare_results("/no/such/file.json", "/no/such/file.json"), Failure);
}

TEST(Compare, is_an_option_of_the_program) {
  const TempFile a(a_result().dump(), ".json"), b("{", ".json");
  const std::string good = a.path().string(), bad = b.path().string();
  const test::ProcessResult same = test::run_process({NIBBLE_BENCH, "--compare", good, good});
  EXPECT_EQ(same.status, 0) << same.err;
  EXPECT_EQ(same.out, compare_results(good, good));
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{NIBBLE_BENCH, "--compare", good, bad},
        std::vector<std::string>{NIBBLE_BENCH, "--compare", good},
        std::vector<std::string>{NIBBLE_BENCH}}) {
    const test::ProcessResult result = test::run_process(command);
    EXPECT_GT(result.status, 0);
    EXPECT_EQ(result.error_lines(), 1) << result.err;
    EXPECT_EQ(result.err.find("nibble-bench: "), 0u) << result.err;
  }
}

}  // namespace
}  // namespace nbl::tools
