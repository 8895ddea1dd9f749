// nibble-bench: how fast a compiled model runs on this machine's device, and on what it spends
// time.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "tools/bench_engine.h"
#include "tools/bench_report.h"
#include "tools/common/compare_results.h"
#include "tools/common/failure.h"
#include "tools/common/kernel_options.h"
#include "tools/common/mapped_file.h"
#include "tools/common/output_file.h"
#include "tools/common/trace.h"
#include "tools/common/vulkan_loader.h"

namespace nbl::tools {
namespace {

// Of a sustained run.
constexpr double kLeastSeconds = 0.1;
constexpr double kMostSeconds = 86400;

// CLI::Range lets NaN through.
std::string check_seconds(const std::string& text) {
  double seconds = 0;
  const bool is_number = CLI::detail::lexical_cast(text, seconds);
  if (is_number && seconds >= kLeastSeconds && seconds <= kMostSeconds) return "";
  return fmt::format("{} is no time from {} to {} seconds", text, kLeastSeconds, kMostSeconds);
}

void describe_options(CLI::App& app, BenchOptions& options) {
  app.add_option("-m,--model", options.model, "Compiled model (.nbl)");
  app.add_option("--compare", options.compare,
                 "Instead of measuring: show what changed between two results of -o json")
      ->type_name("BEFORE AFTER")
      ->expected(2);
  app.add_flag("--facts", options.facts,
               "Instead of measuring a model: print this device as a board.json, for\n"
               "nibblec compile --board ./board.json");
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
  app.add_option("-d,--depth", options.depth,
                 "Positions in use before each test; a list runs all of them at each depth, and\n"
                 "times kernels at the first")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("-o,--output", options.output, "md, json or csv")
      ->check(CLI::IsMember({"md", "json", "csv"}))
      ->capture_default_str();
  app.add_flag(
      "--start", options.start,
      "Also time nbl_open() to the first token, without a pipeline cache and with the one\n"
      "that this left (md and json). Drivers keep caches of their own as well: for a\n"
      "first start set MESA_SHADER_CACHE_DISABLE=true, __GL_SHADER_DISK_CACHE=0");
  app.add_option(
         "--sustain", options.sustain,
         "Also repeat the first test of -n for so many seconds and tell whether the device\n"
         "keeps its speed (md and json)")
      ->type_name("SECONDS")
      ->check(CLI::Validator(check_seconds, ""));
  app.add_flag("--energy", options.energy,
               "Say why, where no energy is reported: it is wherever a sensor can be read");
  app.add_option("--sys", options.sys, "Folder of the kernel's power sensors and thermal zones")
      ->capture_default_str();
  app.add_flag("--kernels", options.kernels,
               "Also time every kernel, in an engine with timestamps (md and json)");
  app.add_flag("--dispatches", options.dispatches, "Also print the time of every dispatch (md)");
  app.add_option("--kernels-tsv", options.kernels_tsv,
                 "Write the times by kernel to this file, tab-separated");
  app.add_option("--dispatches-tsv", options.dispatches_tsv,
                 "Write the time of every dispatch of every timed step to this file");
  app.add_option("--trace", options.trace,
                 "Write a timeline in the Chrome trace format to this file: open it with Perfetto");
  app.add_flag("--no-copy", options.no_copy,
               "Do not measure what the device can do: bytes and operations a second");
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
  add_weights_option(app, options.weights);
  add_chain_option(app, options.chain);
  app.add_option("--seed", options.seed, "Of the random prompt tokens")->capture_default_str();
}

uint64_t now_ns() {
  static const auto start = std::chrono::steady_clock::now();
  const auto passed = std::chrono::steady_clock::now() - start;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
}

std::optional<OutputFile> open_output(const char* what, const std::string& path) {
  if (path.empty()) return std::nullopt;
  return std::make_optional<OutputFile>(what, path);
}

// Once, and after all that may be refused sooner.
void measure_rates(const BenchOptions& options, Report* report) {
  if (options.no_copy || report->rates.copy.passes > 0) return;
  report->rates = measure_device(load_vulkan(), options.device);
}

// What takes an engine with timestamps.
void measure_kernels(const BenchOptions& options, const MappedFile& model, Report* report) {
  const bool times = options.kernels || options.dispatches || !options.kernels_tsv.empty() ||
                     !options.dispatches_tsv.empty();
  const bool files =
      !options.kernels_tsv.empty() || !options.dispatches_tsv.empty() || !options.trace.empty();
  if (!times && !files) return;
  const uint64_t start_ns = now_ns();
  BenchEngine bench(options, model, true);
  Trace trace(bench.engine().info().device_name);
  trace.add_call("open", start_ns, now_ns(), {{"model", options.model}});
  if (!bench.has_timestamps()) {
    if (files) {
      throw Failure(std::string(bench.engine().info().device_name) +
                    " has no timestamps: it cannot tell when a kernel ran");
    }
    std::fprintf(stderr, "nibble-bench: note: %s has no timestamps: no times of kernels\n",
                 bench.engine().info().device_name);
    return;
  }
  // Only now: what lies there already is kept where nothing can be measured.
  std::optional<OutputFile> kernels = open_output("the kernels' times", options.kernels_tsv);
  std::optional<OutputFile> dispatches =
      open_output("the dispatches' times", options.dispatches_tsv);
  std::optional<OutputFile> trace_file = open_output("the trace", options.trace);
  if (times) {
    measure_rates(options, report);
    report->phases.push_back(bench.kernels(false));
    if (bench.has_prefill()) report->phases.push_back(bench.kernels(true));
  }
  if (kernels) kernels->finish(kernels_tsv(report->phases, report->rates));
  if (dispatches) dispatches->finish(dispatches_tsv(report->phases));
  if (trace_file) {
    bench.trace(&trace, &now_ns);
    trace_file->finish(trace.to_json());
  }
}

// For a shell, without the folder of the program.
std::string command_line(int argc, char** argv) {
  std::string line = "nibble-bench";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = word.find_first_of(" '\"\\$`&|;<>()*?#~") == std::string::npos;
    line += plain && !word.empty() ? " " + word : " '" + word + "'";
  }
  return line;
}

// Of a piece of the sustained run.
uint32_t sustained_tokens(const BenchOptions& options) {
  for (const uint32_t count : options.generate) {
    if (count > 0) return count;
  }
  return 1;
}

void run_tests(const BenchOptions& options, uint32_t depth, BenchEngine* bench, Report* report) {
  bench->go_to(depth);
  for (const uint32_t count : options.prompt) {
    if (count > 0) report->tests.push_back(bench->prefill(count));
  }
  for (const uint32_t count : options.generate) {
    if (count > 0) report->tests.push_back(bench->generate(count));
  }
}

Report measure(const BenchOptions& options) {
  const MappedFile model(options.model);
  Report report;
  report.model_file = options.model;
  report.model_bytes = model.bytes().size();
  report.depth = options.depth.front();
  report.repetitions = options.repetitions;
  report.seed = options.seed;
  report.floor = options.floor;
  report.print_dispatches = options.dispatches;
  measure_kernels(options, model, &report);
  PowerMeter meter(options.sys);
  if (meter.empty() && options.energy) {
    std::fprintf(stderr, "nibble-bench: note: no energy: %s\n", meter.why_empty().c_str());
  }
  {
    BenchEngine bench(options, model, false);
    report.model_name = bench.engine().info().model_name;
    report.device_name = bench.engine().info().device_name;
    report.facts = facts_of(load_vulkan(), options.device);
    if (!meter.empty()) bench.use(&meter);
    for (const uint32_t depth : options.depth)
      run_tests(options, depth, &bench, &report);
    if (options.sustain > 0) {
      bench.go_to(options.depth.front());
      report.sustained = bench.sustain(options.sustain, sustained_tokens(options), options.sys);
    }
    report.info = bench.engine().info();
  }
  if (options.start) {
    report.start = measure_start(config_of(options, model, false), options.repetitions);
  }
  measure_rates(options, &report);
  return report;
}

std::string facts(const BenchOptions& options) {
  const DeviceFacts facts = facts_of(load_vulkan(), options.device);
  return board_of(facts,
                  options.no_copy ? DeviceRates() : measure_device(load_vulkan(), options.device));
}

std::string measured(const BenchOptions& options, const std::string& command) {
  Report report = measure(options);
  report.command = command;
  if (options.output == "json") return to_json(report);
  return options.output == "csv" ? to_csv(report) : to_markdown(report);
}

std::string text_of(const BenchOptions& options, const std::string& command) {
  if (!options.compare.empty()) return compare_results(options.compare[0], options.compare[1]);
  return options.facts ? facts(options) : measured(options, command);
}

}  // namespace
}  // namespace nbl::tools

int main(int argc, char** argv) {
  nbl::tools::BenchOptions options;
  CLI::App app(
      "Measures a compiled model: pp = prompt tokens a second, tg = generated tokens a\n"
      "second, each after a warm-up, mean ± standard deviation and median.\n\n"
      "  nibble-bench -m stories.nbl -p 16,128 -n 64 -r 5 --kernels\n"
      "  nibble-bench -m stories.nbl -p 0 -d 0,128,512 --start --sustain 60\n"
      "  nibble-bench --facts > board.json\n"
      "  nibble-bench --compare before.json after.json");
  nbl::tools::describe_options(app, options);
  try {
    app.parse(argc, argv);
    if (options.compare.empty() && !options.facts && options.model.empty())
      throw CLI::RequiredError("--model");
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "nibble-bench: %s\n", error.what());
    return 1;
  }
  try {
    const std::string text = nbl::tools::text_of(options, nbl::tools::command_line(argc, argv));
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
