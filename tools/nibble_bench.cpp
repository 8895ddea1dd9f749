// nibble-bench: how fast a compiled model runs on this machine's device, and on what it spends
// time.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tools/bench_report.h"
#include "tools/common/engine_session.h"
#include "tools/common/failure.h"
#include "tools/common/mapped_file.h"
#include "tools/common/vulkan_loader.h"

namespace nbl::tools {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model;
  std::vector<uint32_t> prompt = {128};
  std::vector<uint32_t> generate = {64};
  uint32_t repetitions = 5;
  uint32_t depth = 0;
  std::string output = "md";
  bool kernels = false;
  bool no_copy = false;
  int32_t device = -1;
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t burst = 0;
  bool floor = false;
  bool float32 = false;
  bool no_import = false;
  uint64_t seed = 1;
};

void describe_options(CLI::App& app, Options& options) {
  app.add_option("-m,--model", options.model, "Compiled model (.nbl)")->required();
  app.add_option("-p,--prompt", options.prompt,
                 "Prompt tokens to evaluate; a list makes a test each")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("-n,--count", options.generate, "Tokens to generate; a list makes a test each")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("-r,--repetitions", options.repetitions, "Timed runs of each test")
      ->check(CLI::Range(1u, 100000u))
      ->capture_default_str();
  app.add_option("-d,--depth", options.depth, "Positions in use before each test")
      ->capture_default_str();
  app.add_option("-o,--output", options.output, "md, json or csv")
      ->check(CLI::IsMember({"md", "json", "csv"}))
      ->capture_default_str();
  app.add_flag("--kernels", options.kernels,
               "Also time every kernel, in an engine with timestamps");
  app.add_flag("--no-copy", options.no_copy, "Do not measure the device's copy bandwidth");
  app.add_option("--device", options.device,
                 "Vulkan device, counted from 0; default: first that fits")
      ->check(CLI::Range(0, 1 << 16));
  app.add_option("--context", options.context, "Positions to make room for; default: the model's")
      ->check(CLI::Range(1u, ~0u));
  app.add_option("--prefill-chunk", options.prefill_chunk, "Prompt tokens a step takes")
      ->check(CLI::Range(1u, ~0u));
  app.add_option("--burst", options.burst, "Tokens made in one submit at most")
      ->check(CLI::Range(1u, ~0u));
  app.add_flag("--floor", options.floor, "Only kernels inside Vulkan 1.1's minimums");
  app.add_flag("--float32", options.float32,
               "No matrix kernels: their operands are rounded to f16");
  app.add_flag("--no-import", options.no_import,
               "Copy the weights even where they could be imported");
  app.add_option("--seed", options.seed, "Of the random prompt tokens")->capture_default_str();
}

nbl_config make_config(const Options& options, const MappedFile& model, bool timestamps) {
  nbl_config config = {};
  config.get_instance_proc_addr = load_vulkan();
  config.model = model.bytes().data();
  config.model_bytes = model.bytes().size();
  config.device = options.device + 1;
  if (options.floor) config.flags |= NBL_FLAG_FLOOR_KERNELS;
  if (options.float32) config.flags |= NBL_FLAG_FLOAT32;
  if (options.no_import) config.flags |= NBL_FLAG_NO_IMPORT;
  if (timestamps) config.flags |= NBL_FLAG_TIMESTAMPS;
  config.context = options.context;
  config.prefill_chunk = options.prefill_chunk;
  config.max_burst = options.burst;
  return config;
}

// Ids that are no stop tokens, the same for the same seed on every machine.
std::vector<uint32_t> random_tokens(const nibble::Engine& engine, size_t count, uint64_t seed) {
  const uint32_t vocab_size = engine.info().vocab_size;
  std::mt19937_64 random(seed);
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) {
    token = static_cast<uint32_t>(random() % vocab_size);
    for (uint32_t tries = 0; engine.is_stop_token(token) && tries < vocab_size; ++tries) {
      token = (token + 1) % vocab_size;
    }
  }
  return tokens;
}

void need_room(const nibble::Engine& engine, const std::string& test, uint64_t positions) {
  const uint32_t context = engine.info().context;
  if (positions > context) {
    throw Failure(fmt::format("{} needs {} positions, the context has {}: lower -d, -p or -n", test,
                              positions, context));
  }
}

// An engine whose first `depth` positions are filled once and kept by every test.
class Bench {
 public:
  Bench(const Options& options, const MappedFile& model, bool timestamps)
      : options_(options), session_(make_config(options, model, timestamps)) {
    need_room(engine(), "the depth", uint64_t{options.depth} + 1);
    if (options.depth > 0) evaluate(random_tokens(engine(), options.depth, options.seed));
  }

  nibble::Engine& engine() { return session_.engine(); }

  // Errors  Failure where the test does not fit the context.
  TestResult prefill(uint32_t count);
  TestResult generate(uint32_t count);
  // The kernels of a decode step, or of a prefill step as long as a chunk.
  KernelTable kernels(bool prefill);

 private:
  void evaluate(const std::vector<uint32_t>& tokens) {
    nbl_error error = {};
    check(engine().evaluate(tokens, &error), error);
    uint32_t next = 0;
    check(engine().next_token(&next, &error), error);
  }
  void rewind() {
    nbl_error error = {};
    check(engine().rewind(options_.depth, &error), error);
  }
  uint32_t generate_all(std::vector<uint32_t>& tokens);
  std::vector<nbl_timing> timings(bool prefill);

  const Options& options_;
  EngineSession session_;
};

template <typename Work>
double time_seconds(Work&& work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TestResult Bench::prefill(uint32_t count) {
  TestResult result;
  result.prefill = true;
  result.tokens = count;
  need_room(engine(), result.name(), uint64_t{options_.depth} + count);
  const std::vector<uint32_t> tokens = random_tokens(engine(), count, options_.seed + 1);
  for (uint32_t i = 0; i <= options_.repetitions; ++i) {
    rewind();
    const double seconds = time_seconds([&] { evaluate(tokens); });
    if (i > 0) result.seconds.push_back(seconds);  // the first one warms up
  }
  return result;
}

// Generates tokens.size() of them, going on after stop tokens. Returns how often it had to.
uint32_t Bench::generate_all(std::vector<uint32_t>& tokens) {
  nbl_error error = {};
  uint32_t calls = 0;
  for (size_t at = 0; at < tokens.size(); ++calls) {
    uint32_t count = 0;
    check(engine().generate(std::span(tokens).subspan(at), &count, &error), error);
    at += count;
  }
  return calls - 1;
}

TestResult Bench::generate(uint32_t count) {
  TestResult result;
  result.tokens = count;
  need_room(engine(), result.name(), uint64_t{options_.depth} + 1 + count);
  const std::vector<uint32_t> first = random_tokens(engine(), 1, options_.seed + 2);
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i <= options_.repetitions; ++i) {
    rewind();
    evaluate(first);
    uint32_t stops = 0;
    const double seconds = time_seconds([&] { stops = generate_all(tokens); });
    if (i == 0) continue;
    result.seconds.push_back(seconds);
    result.stop_tokens += stops;
  }
  return result;
}

std::vector<nbl_timing> Bench::timings(bool prefill) {
  const nbl_info info = engine().info();
  std::vector<nbl_timing> timings(prefill ? info.prefill_dispatches : info.decode_dispatches);
  uint32_t count = 0;
  nbl_error error = {};
  check(engine().timings(prefill, timings, &count, &error), error);
  timings.resize(count);
  return timings;
}

KernelTable Bench::kernels(bool prefill) {
  KernelTable table;
  table.phase = prefill ? "prefill" : "decode";
  const nbl_info info = engine().info();
  const uint32_t room = info.context - options_.depth;
  if (!prefill) need_room(engine(), "timing a decode step", uint64_t{options_.depth} + 2);
  table.tokens = prefill ? std::min(info.prefill_chunk, room) : 1;
  const std::vector<uint32_t> tokens = random_tokens(engine(), table.tokens, options_.seed + 1);
  struct Sum {
    uint64_t count = 0;
    double us = 0;
    double bytes = 0;
  };
  std::map<std::string, Sum> sums;
  double all_us = 0;
  for (uint32_t i = 0; i <= options_.repetitions; ++i) {
    rewind();
    evaluate(tokens);
    std::vector<uint32_t> generated(1);
    if (!prefill) generate_all(generated);
    if (i == 0) continue;
    uint64_t end_ns = 0;
    for (const nbl_timing& timing : timings(prefill)) {
      Sum& sum = sums[timing.kernel];
      const double us = static_cast<double>(timing.duration_ns) / 1e3;
      ++sum.count;
      sum.us += us;
      sum.bytes += static_cast<double>(timing.bytes);
      all_us += us;
      end_ns = std::max(end_ns, timing.start_ns + timing.duration_ns);
    }
    table.step_us += static_cast<double>(end_ns) / 1e3 / options_.repetitions;
  }
  for (const auto& [kernel, sum] : sums) {
    table.rows.push_back({kernel, static_cast<uint32_t>(sum.count / options_.repetitions),
                          sum.us / options_.repetitions, all_us > 0 ? sum.us / all_us : 0,
                          sum.us > 0 ? sum.bytes / sum.us / 1e3 : 0});
  }
  std::sort(table.rows.begin(), table.rows.end(),
            [](const KernelRow& a, const KernelRow& b) { return a.total_us > b.total_us; });
  return table;
}

Report measure(const Options& options) {
  const MappedFile model(options.model);
  Report report;
  report.model_file = options.model;
  report.model_bytes = model.bytes().size();
  report.depth = options.depth;
  report.repetitions = options.repetitions;
  report.seed = options.seed;
  report.floor = options.floor;
  {
    Bench bench(options, model, false);
    report.model_name = bench.engine().info().model_name;
    report.device_name = bench.engine().info().device_name;
    for (const uint32_t count : options.prompt) {
      if (count > 0) report.tests.push_back(bench.prefill(count));
    }
    for (const uint32_t count : options.generate) {
      if (count > 0) report.tests.push_back(bench.generate(count));
    }
    report.info = bench.engine().info();
  }
  if (options.kernels) {
    Bench bench(options, model, true);
    report.kernels.push_back(bench.kernels(false));
    const nbl_info info = bench.engine().info();
    // A chunk of one token is a decode step.
    if (info.prefill_dispatches > 0 && info.context - options.depth > 1) {
      report.kernels.push_back(bench.kernels(true));
    }
  }
  if (!options.no_copy) {
    report.copy = measure_copy_bandwidth(load_vulkan(), options.device);
  }
  return report;
}

}  // namespace
}  // namespace nbl::tools

int main(int argc, char** argv) {
  nbl::tools::Options options;
  CLI::App app(
      "Measures a compiled model: pp = prompt tokens a second, tg = generated tokens a\n"
      "second, each after a warm-up, mean ± standard deviation and median.\n\n"
      "  nibble-bench -m stories.nbl -p 16,128 -n 64 -r 5 --kernels");
  nbl::tools::describe_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "nibble-bench: %s\n", error.what());
    return 1;
  }
  try {
    const nbl::tools::Report report = nbl::tools::measure(options);
    const std::string text = options.output == "json"  ? nbl::tools::to_json(report)
                             : options.output == "csv" ? nbl::tools::to_csv(report)
                                                       : nbl::tools::to_markdown(report);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
        std::fflush(stdout) != 0) {
      throw nbl::tools::Failure("cannot write the report");
    }
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "nibble-bench: %s\n", failure.what());
    return 1;
  }
}
