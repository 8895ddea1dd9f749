// Could break: a trace that is no JSON or that Perfetto reads otherwise than it was meant: spans
// that overlap on a track (it drops them), threads without names, microseconds for nanoseconds.
#include "tools/common/trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "tests/support/engine.h"
#include "tests/support/fault_rig.h"
#include "tests/support/process.h"

namespace nbl::tools {
namespace {

using nlohmann::json;

// As Perfetto does it: older versions cut off, newer ones round.
int64_t cut_off(double us) {
  return static_cast<int64_t>(us * 1000.0);
}
int64_t rounded(double us) {
  return std::llround(us * 1000.0);
}

// The spans of each track, once they have been seen to nest.
std::map<std::pair<int, int>, std::vector<json>> tracks_of(const json& trace) {
  std::map<std::pair<int, int>, std::vector<json>> tracks;
  for (const json& event : trace.at("traceEvents")) {
    EXPECT_TRUE(event.at("name").is_string());
    EXPECT_GT(event.at("pid").get<int>(), 0);
    EXPECT_GT(event.at("tid").get<int>(), 0);
    const std::string phase = event.at("ph");
    if (phase == "M") continue;
    EXPECT_EQ(phase, "X");
    EXPECT_GE(event.at("ts").get<double>(), 0);
    EXPECT_GE(event.at("dur").get<double>(), 0);
    tracks[{event.at("pid"), event.at("tid")}].push_back(event);
  }
  for (const auto to_ns : {cut_off, rounded}) {
    for (auto& [track, spans] : tracks) {
      std::stable_sort(spans.begin(), spans.end(), [&](const json& a, const json& b) {
        return to_ns(a.at("ts")) < to_ns(b.at("ts"));
      });
      std::vector<int64_t> ends;
      for (const json& span : spans) {
        const int64_t start = to_ns(span.at("ts"));
        const int64_t end = start + to_ns(span.at("dur"));
        while (!ends.empty() && ends.back() <= start)
          ends.pop_back();
        if (!ends.empty()) {
          EXPECT_LE(end, ends.back()) << span;
        }
        ends.push_back(end);
      }
    }
  }
  return tracks;
}

std::map<std::string, std::set<std::string>> names_of(const json& trace) {
  std::map<std::string, std::set<std::string>> names;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "M" && event.at("args").contains("name"))
      names[event.at("name")].insert(event.at("args").at("name"));
  }
  return names;
}

TEST(Trace, microseconds_are_the_same_nanoseconds_again) {
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < 200'000; ++i) {
    const uint64_t ns = i < 100'000 ? i : random() >> (16 + random() % 36);
    const double us = trace_microseconds(ns);
    ASSERT_EQ(cut_off(us), static_cast<int64_t>(ns));
    ASSERT_EQ(rounded(us), static_cast<int64_t>(ns));
  }
}

TimedStep step_of(uint64_t seed) {
  std::mt19937_64 random(seed);
  TimedStep step;
  uint64_t at = 0;
  for (uint32_t i = 0; i < 50; ++i) {
    TimedDispatch d;
    d.index = i;
    d.kernel = "gemv_floor";
    d.node = "layer \xff \"quoted\"";  // no UTF-8
    d.op = "linear_q4gsw";
    d.grid = {7, 1, 1};
    d.local_size = {64, 1, 1};
    d.global_size = {448, 1, 1};
    d.start_ns = at + (i == 0 ? 0 : random() % 50);
    d.duration_ns = random() % 5 == 0 ? 0 : random() % 9000;
    d.end_ns = d.start_ns + d.duration_ns;
    at = d.end_ns;
    step.push_back(d);
  }
  return step;
}

TEST(Trace, nests_dispatches_in_steps) {
  Trace trace("a \"device\"");
  trace.add_call("open", 17, 1'000'033, {{"model", "m.nbl"}});
  uint64_t now = 1'000'100;
  for (uint64_t i = 0; i < 20; ++i) {
    now += 1'000;  // less than a step takes: the device's clock is not the host's
    trace.add_call("generate", now - 900, now, {{"tokens", 1}});
    trace.add_step(i == 0, 1, 5, step_of(i), now);
  }
  trace.add_step(false, 1, 5, {}, now);  // a step without dispatches is none
  const json parsed = json::parse(trace.to_json());
  auto tracks = tracks_of(parsed);
  EXPECT_EQ(tracks.size(), 3u);
  EXPECT_EQ((tracks[{1, 1}].size()), 19u * 51);
  EXPECT_EQ((tracks[{1, 2}].size()), 51u);
  EXPECT_EQ((tracks[{2, 3}].size()), 21u);
  auto names = names_of(parsed);
  EXPECT_EQ(names["process_name"].count("a \"device\""), 1u);
  EXPECT_EQ(names["thread_name"], (std::set<std::string>{"decode", "prefill", "calls"}));
}

// The program itself.
class BenchOutput : public testing::Test {
 protected:
  static std::string model_bytes() {
    const test::AlignedBytes file = test::tiny_model(false);
    return {reinterpret_cast<const char*>(file.span().data()), file.size};
  }
  static test::ProcessResult bench(const std::string& model, std::vector<std::string> options) {
    std::vector<std::string> command = {NIBBLE_BENCH, "-m", model,       "-p", "0",
                                        "-n",         "0",  "--no-copy", "-r", "2"};
    command.insert(command.end(), options.begin(), options.end());
    return test::run_process(command);
  }
};

TEST_F(BenchOutput, traces_prefill_decode_and_host) {
  NBL_REQUIRE_VULKAN();
  const test::TempFile model(model_bytes(), ".nbl"), out("", ".json");
  const test::ProcessResult result = bench(model.path(), {"--trace", out.path()});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  std::ifstream file(out.path());
  const json trace = json::parse(file);
  auto tracks = tracks_of(trace);
  const auto count = [&](int pid, int tid, const char* name) {
    const std::vector<json>& spans = tracks[{pid, tid}];
    return std::count_if(spans.begin(), spans.end(),
                         [&](const json& span) { return span.at("name") == name; });
  };
  EXPECT_EQ(count(1, 1, "decode step"), 8);
  EXPECT_EQ(count(1, 2, "prefill step"), 1);
  EXPECT_EQ(count(2, 3, "open"), 1);
  EXPECT_EQ(count(2, 3, "evaluate"), 1);
  EXPECT_EQ(count(2, 3, "generate"), 8);
  EXPECT_EQ(names_of(trace)["thread_name"], (std::set<std::string>{"decode", "prefill", "calls"}));
  EXPECT_EQ(names_of(trace)["process_name"].size(), 2u);
  for (const json& span : tracks[{1, 1}]) {
    if (span.at("name") == "decode step") continue;
    const json& args = span.at("args");
    EXPECT_FALSE(args.at("node").get<std::string>().empty());
    EXPECT_FALSE(args.at("op").get<std::string>().empty());
    EXPECT_EQ(args.at("grid").size(), 3u);
    EXPECT_EQ(args.at("local_size").size(), 3u);
    EXPECT_EQ(args.at("global_size").size(), 3u);
  }
}

TEST_F(BenchOutput, has_kernels_and_dispatches_as_tables) {
  NBL_REQUIRE_VULKAN();
  const test::TempFile model(model_bytes(), ".nbl"), kernels("", ".tsv"), dispatches("", ".tsv");
  const test::ProcessResult result =
      bench(model.path(), {"--kernels", "--dispatches", "--kernels-tsv", kernels.path(),
                           "--dispatches-tsv", dispatches.path()});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("| kernel "), std::string::npos);
  EXPECT_NE(result.out.find("| #  "), std::string::npos);
  // The sums of the one are those of the other, kernel by kernel.
  std::map<std::string, uint64_t> totals, sums;
  const auto read = [](const test::TempFile& path, size_t first, size_t last, size_t value,
                       std::map<std::string, uint64_t>* into) {
    std::ifstream file(path.path());
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::vector<std::string> cells;
      std::istringstream text(line);
      for (std::string cell; std::getline(text, cell, '\t');)
        cells.push_back(cell);
      (*into)[cells.at(first) + " " + cells.at(last)] += std::stoull(cells.at(value));
    }
  };
  read(kernels, 0, 3, 5, &totals);
  read(dispatches, 0, 4, 12, &sums);
  EXPECT_GT(totals.size(), 6u);
  EXPECT_EQ(totals, sums);
}

}  // namespace
}  // namespace nbl::tools
