// Could break: a report that leaves out what was asked for, a start with a cache that is none,
// energy of a machine that has no sensor, a figure in one spelling of the report and not in the
// other.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/fault_rig.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"
#include "tools/common/start_times.h"

namespace nbl {
namespace {

using nlohmann::json;
using test::ProcessResult;
using test::run_process;
using test::TempFile;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class BoardReport : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static ProcessResult bench(std::vector<std::string> options) {
    const test::AlignedBytes model = test::tiny_model(false);
    const TempFile file({reinterpret_cast<const char*>(model.span().data()), model.size}, ".nbl");
    std::vector<std::string> command = {
        NIBBLE_BENCH, "-m", file.path().string(), "-r", "2", "--no-copy", "-p", "0", "-n", "4"};
    command.insert(command.end(), options.begin(), options.end());
    return run_process(command);
  }
  static json bench_json(std::vector<std::string> options) {
    options.insert(options.end(), {"-o", "json"});
    const ProcessResult result = bench(options);
    EXPECT_EQ(result.status, 0) << result.err;
    return json::parse(result.out);
  }
};

TEST_F(BoardReport, says_what_the_board_can_do) {
  const json facts = bench_json({}).at("device_facts");
  EXPECT_GE(facts.at("vulkan").at("max_storage_range_bytes").get<uint64_t>(), 128u << 20);
  EXPECT_GE(facts.at("memory").at("types").size(), 1u);
  EXPECT_GE(facts.at("memory").at("heaps_mib").size(), 1u);
  const std::string text = bench({}).out;
  for (const char* const part : {"device: Vulkan 1.", "limits: binding ",
                                 "memory heap 0: ", "device memory ", "host memory "})
    EXPECT_TRUE(has(text, part)) << part << " in " << text;
  EXPECT_FALSE(has(text, "start, ") || has(text, "sustained") || has(text, "J/token")) << text;
}

TEST_F(BoardReport, has_starts_with_and_without_a_cache) {
  const json start = bench_json({"--start"}).at("start");
  for (const char* const key : {"no_cache_seconds", "with_cache_seconds"}) {
    ASSERT_EQ(start.at(key).size(), 2u) << key;
    for (const double seconds : start.at(key))
      EXPECT_GT(seconds, 0) << key;
  }
  EXPECT_GE(start.at("cache_bytes").get<uint64_t>(), 32u);
  const std::string text = bench({"--start"}).out;
  EXPECT_TRUE(has(text, "| start, no cache ") && has(text, "| start, with cache ")) << text;
}

TEST_F(BoardReport, has_energy_by_the_sensors_name) {
  const test::TempFolder sys;
  std::filesystem::create_directories(sys.path() / "class/hwmon/hwmon0");
  sys.write("class/hwmon/hwmon0/name", "ina3221\n");
  sys.write("class/hwmon/hwmon0/power1_input", "2500000\n");
  const std::vector<std::string> options = {"--sys", sys.path().string(), "--energy"};
  const json test = bench_json(options).at("tests").at(0);
  const json& energy = test.at("energy");
  ASSERT_EQ(energy.size(), 1u);
  EXPECT_EQ(energy[0].at("sensor"), "ina3221 power1");
  double seconds = 0;
  for (const double repetition : test.at("seconds"))
    seconds += repetition;
  // Sensors are read just before and after what is timed.
  EXPECT_GE(energy[0].at("joules").get<double>(), 2.5 * seconds * 0.999);
  EXPECT_DOUBLE_EQ(energy[0].at("joules_per_token").get<double>() * 8,
                   energy[0].at("joules").get<double>());
  const ProcessResult text = bench(options);
  EXPECT_EQ(text.err, "");
  EXPECT_TRUE(has(text.out, "| ina3221 power1 |")) << text.out;
}

TEST_F(BoardReport, without_a_sensor_has_no_energy_and_a_sentence_if_asked) {
  const test::TempFolder sys;
  const ProcessResult quiet = bench({"--sys", sys.path().string()});
  EXPECT_EQ(quiet.err, "");
  EXPECT_FALSE(has(quiet.out, "J/token")) << quiet.out;
  const ProcessResult asked = bench({"--sys", sys.path().string(), "--energy"});
  EXPECT_EQ(asked.status, 0);
  EXPECT_EQ(asked.error_lines(), 1) << asked.err;
  EXPECT_TRUE(has(asked.err, "nibble-bench: note: no energy: ")) << asked.err;
  EXPECT_TRUE(has(asked.err, sys.path().string())) << asked.err;
}

TEST_F(BoardReport, has_a_sustained_run) {
  const test::TempFolder sys;
  std::filesystem::create_directories(sys.path() / "class/thermal/thermal_zone0");
  sys.write("class/thermal/thermal_zone0/type", "gpu-thermal\n");
  sys.write("class/thermal/thermal_zone0/temp", "51000\n");
  const std::vector<std::string> options = {"--sys", sys.path().string(), "--sustain", "0.3"};
  const json sustained = bench_json(options).at("sustained");
  ASSERT_GE(sustained.at("intervals").size(), 1u);
  EXPECT_LE(sustained.at("intervals").size(), 10u);
  double seconds = 0, lowest = 1;
  const double first = sustained.at("intervals").at(0).at("tokens_per_second");
  for (const json& interval : sustained.at("intervals")) {
    seconds += interval.at("seconds").get<double>();
    EXPECT_EQ(interval.at("tokens").get<uint64_t>() % 5, 0u) << "whole pieces of 1 + 4 tokens";
    EXPECT_EQ(interval.at("temperatures").at(0).at("celsius"), 51.0);
    lowest = std::min(lowest, interval.at("tokens_per_second").get<double>() / first);
  }
  EXPECT_GE(seconds, 0.3 - 1e-6);
  EXPECT_DOUBLE_EQ(sustained.at("lowest_share").get<double>(), lowest);
  EXPECT_EQ(sustained.at("throttled").get<bool>(), lowest < 0.9);
  const std::string text = bench(options).out;
  EXPECT_TRUE(has(text, "gpu-thermal °C") && has(text, "slowest interval: ")) << text;
}

TEST_F(BoardReport, refuses_times_that_are_none) {
  for (const char* const seconds : {"0", "-1", "nan", "1e9", "long"}) {
    const ProcessResult result = bench({"--sustain", seconds});
    EXPECT_EQ(result.status, 1) << seconds;
    EXPECT_EQ(result.error_lines(), 1) << result.err;
    EXPECT_TRUE(has(result.err, "--sustain")) << result.err;
  }
}

// Copied to a board it finds what it needs there.
TEST(Programs, need_no_shared_library_but_the_c_librarys) {
  if (NIBBLE_SANITIZED) GTEST_SKIP() << "sanitizers come as shared libraries";
  for (const std::string program : {NIBBLE_BENCH, NIBBLE_RUN}) {
    const ProcessResult elf = run_process({NIBBLE_READELF, "-d", program});
    ASSERT_EQ(elf.status, 0) << elf.err;
    EXPECT_TRUE(has(elf.out, "[libc.so")) << elf.out;
    for (const char* const library : {"[libfmt", "[libstdc++", "[libgcc_s", "[libvulkan"})
      EXPECT_FALSE(has(elf.out, library)) << program << " needs " << library << "]";
  }
}

TEST(MemoryCache, keeps_what_it_was_given_and_gives_no_half_of_it) {
  tools::MemoryCache cache;
  char room[8] = {};
  EXPECT_EQ(tools::MemoryCache::load(&cache, room, sizeof room), 0u);
  tools::MemoryCache::store(&cache, "12345678", 8);
  tools::MemoryCache::store(&cache, "abcdef", 6);
  EXPECT_EQ(tools::MemoryCache::load(&cache, room, 5), 0u);
  EXPECT_EQ(tools::MemoryCache::load(&cache, room, sizeof room), 6u);
  EXPECT_EQ(std::string(room, 6), "abcdef");
}

TEST(StartTable, has_both_starts_in_milliseconds) {
  const std::string table =
      tools::start_table({.no_cache = {0.2, 0.4}, .with_cache = {0.05, 0.05}, .cache_bytes = 77});
  EXPECT_TRUE(has(table, "300.0 ± 141.4") && has(table, "50.0 ± 0.0") && has(table, "77")) << table;
  EXPECT_LT(table.find("start, no cache"), table.find("start, with cache"));
  EXPECT_FALSE(has(table, "nothing")) << table;
  EXPECT_TRUE(has(tools::start_table({.no_cache = {1}, .with_cache = {1}, .cache_bytes = 32}),
                  "this driver puts nothing into a pipeline cache"));
  EXPECT_EQ(tools::start_table({}), "");
}

}  // namespace
}  // namespace nbl
