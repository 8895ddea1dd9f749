#include "tools/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tools/common/engine_session.h"
#include "tools/common/roofline.h"

namespace nbl::tools {
namespace {

// Weight bytes read a second, 10^9. Prefill reads them once a chunk, not once a token: no figure.
double weight_gigabytes_per_second(const Report& report, const TestResult& test) {
  if (test.prefill) return 0;
  return mean(test.rates()) * static_cast<double>(report.info.decode_weight_bytes) / 1e9;
}

// Keys and values included, which grow with the depth.
double gigabytes_per_second(const Report& report, const TestResult& test) {
  if (test.prefill) return 0;
  const double kv = mean(test.rates()) * kv_bytes_per_token(report.info, test) / 1e9;
  return weight_gigabytes_per_second(report, test) + kv;
}

double share_of_copy(const Report& report, double gigabytes_per_second) {
  const double copy = report.rates.copy.gigabytes_per_second;
  return copy > 0 ? gigabytes_per_second / copy * 100 : 0;
}

std::string optional_figure(double value) {
  return value > 0 ? fmt::format("{:.2f}", value) : "";
}

// A cell of a CSV line: quoted where it has to be.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

// A cell of a Markdown table.
std::string markdown_cell(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

nlohmann::ordered_json memory_json(const nbl_info& info) {
  return {{"host_bytes", info.memory.host_bytes},
          {"driver_pool_bytes", info.memory.driver_pool_bytes},
          {"driver_pool_peak_bytes", info.driver_pool_peak},
          {"device_bytes", info.memory.device_bytes},
          {"weight_bytes", info.memory.weight_bytes},
          {"kv_bytes", info.memory.kv_bytes},
          {"activation_bytes", info.memory.activation_bytes},
          {"io_bytes", info.memory.io_bytes},
          {"imported_bytes", info.memory.imported_bytes},
          {"image_bytes", info.memory.image_bytes},
          {"staging_bytes", info.memory.staging_bytes},
          {"driver_allocations_setup", info.driver_allocations_setup},
          {"driver_allocations_after", info.driver_allocations_after}};
}

// As in a board.json.
nlohmann::ordered_json facts_json(const DeviceFacts& facts) {
  const auto board = nlohmann::ordered_json::parse(board_of(facts, {}));
  return {{"vulkan", board.at("vulkan")}, {"memory", board.at("memory")}};
}

nlohmann::ordered_json test_json(const Report& report, const TestResult& test) {
  const std::vector<double> rates = test.rates();
  nlohmann::ordered_json json = {{"test", test.prefill ? "pp" : "tg"},
                                 {"tokens", test.tokens},
                                 {"depth", test.depth},
                                 {"tokens_per_second_mean", mean(rates)},
                                 {"tokens_per_second_stddev", standard_deviation(rates)},
                                 {"tokens_per_second_median", median(rates)},
                                 {"seconds", test.seconds},
                                 {"stop_tokens", test.stop_tokens}};
  if (!test.prefill) {
    const double rate = weight_gigabytes_per_second(report, test);
    json["weight_gigabytes_per_second"] = rate;
    const double all = gigabytes_per_second(report, test);
    json["gigabytes_per_second"] = all;
    if (report.rates.copy.passes > 0) {
      json["percent_of_copy"] = share_of_copy(report, rate);
      json["percent_of_copy_with_kv"] = share_of_copy(report, all);
    }
  }
  return json;
}

// Microseconds that a kernel takes in each step.
std::vector<double> step_times(const TimedPhase& phase, const std::string& kernel) {
  std::vector<double> times;
  for (const TimedStep& step : phase.steps) {
    uint64_t ns = 0;
    for (const TimedDispatch& d : step)
      ns += d.kernel == kernel ? d.duration_ns : 0;
    times.push_back(static_cast<double>(ns) / 1e3);
  }
  return times;
}

nlohmann::ordered_json kernels_json(const Report& report) {
  nlohmann::ordered_json tables = nlohmann::ordered_json::array();
  for (const TimedPhase& phase : report.phases) {
    const std::vector<KernelTotal> totals = kernel_totals(phase);
    const double all_ns = static_cast<double>(total_ns(totals));
    const double steps = static_cast<double>(phase.steps.size());
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const KernelTotal& t : totals) {
      const double kernel_ns = static_cast<double>(t.total_ns);
      const Roof roof = roof_of(t.bytes, t.flops, t.total_ns, report.rates);
      rows.push_back({{"kernel", t.kernel},
                      {"count", t.count},
                      {"total_us", kernel_ns / 1e3},
                      {"us_a_step", kernel_ns / 1e3 / steps},
                      {"us_a_step_stddev", standard_deviation(step_times(phase, t.kernel))},
                      {"mean_us", t.mean_ns() / 1e3},
                      {"min_us", static_cast<double>(t.min_ns) / 1e3},
                      {"max_us", static_cast<double>(t.max_ns) / 1e3},
                      {"share", all_ns > 0 ? kernel_ns / all_ns : 0},
                      {"bytes", t.bytes},
                      {"flops", t.flops},
                      {"gigabytes_per_second", roof.gigabytes_per_second},
                      {"gigaflops", roof.gigaflops},
                      {"percent_of_copy", roof.percent_of_copy},
                      {"percent_of_peak", roof.percent_of_peak},
                      {"bound", roof.bound}});
    }
    tables.push_back({{"phase", phase.name},
                      {"tokens", phase.tokens},
                      {"steps", phase.steps.size()},
                      {"step_us", step_ns(phase) / 1e3},
                      {"rows", rows}});
  }
  return tables;
}

}  // namespace

std::string TestResult::name() const {
  const std::string at = depth > 0 ? fmt::format(" @ {}", depth) : "";
  return fmt::format("{} {}{}", prefill ? "pp" : "tg", tokens, at);
}

std::vector<double> TestResult::rates() const {
  std::vector<double> rates;
  for (const double value : seconds)
    rates.push_back(value > 0 ? tokens / value : 0);
  return rates;
}

double kv_bytes_per_token(const nbl_info& info, const TestResult& test) {
  if (info.context == 0) return 0;
  // A token sees itself and all before it; the one that starts the test is not timed.
  const double positions = test.depth + 1 + (test.tokens + 1) / 2.0;
  return static_cast<double>(info.memory.kv_bytes) / info.context * positions;
}

double mean(const std::vector<double>& values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double center = mean(values);
  double sum = 0;
  for (const double value : values)
    sum += (value - center) * (value - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string to_markdown(const Report& report) {
  std::string text =
      fmt::format("{} ({}), {:.2f} MiB, on {}{}; driver: {}\n", report.model_name,
                  report.model_file, static_cast<double>(report.model_bytes) / (1 << 20),
                  report.device_name, report.floor ? ", floor kernels" : "", report.facts.driver);
  text += describe_device(report.facts);
  text += fmt::format("context {}, prefill chunk {}, burst {}, depth {}, {} repetitions, seed {}\n",
                      report.info.context, report.info.prefill_chunk, report.info.max_burst,
                      report.depth, report.repetitions, report.seed);
  text += fmt::format(
      "decode step: {} dispatches, {} barriers, {} weight bytes\n"
      "prefill step: {} dispatches, {} barriers\n",
      report.info.decode_dispatches, report.info.decode_barriers, report.info.decode_weight_bytes,
      report.info.prefill_dispatches, report.info.prefill_barriers);
  if (report.rates.copy.passes > 0) {
    text += fmt::format(
        "copy bandwidth {:.2f} GB/s (read + written, {} MiB a pass), "
        "float32 arithmetic {:.1f} GFLOP/s\n",
        report.rates.copy.gigabytes_per_second, report.rates.copy.pass_bytes >> 20,
        report.rates.gigaflops);
  }
  text += describe_memory(report.info);
  text +=
      "\n| test | tokens/s | median | weights GB/s | % of copy | with KV GB/s | % of copy |\n"
      "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  for (const TestResult& test : report.tests) {
    const std::vector<double> rates = test.rates();
    const double bandwidth = weight_gigabytes_per_second(report, test);
    const double all = gigabytes_per_second(report, test);
    text += fmt::format("| {} | {:.2f} ± {:.2f} | {:.2f} | {} | {} | {} | {} |\n",
                        markdown_cell(test.name()), mean(rates), standard_deviation(rates),
                        median(rates), optional_figure(bandwidth),
                        optional_figure(share_of_copy(report, bandwidth)), optional_figure(all),
                        optional_figure(share_of_copy(report, all)));
  }
  for (const TestResult& test : report.tests) {
    if (test.stop_tokens > 0) {
      text += fmt::format(
          "\n{}: stop tokens ended {} bursts early, which lowers the figure; "
          "another --seed may have none\n",
          test.name(), test.stop_tokens);
    }
  }
  for (const TimedPhase& phase : report.phases) {
    text += kernels_table(phase, report.rates);
    if (report.print_dispatches) text += dispatches_table(phase);
  }
  return text;
}

std::string to_json(const Report& report) {
  nlohmann::ordered_json json = {{"model_file", report.model_file},
                                 {"model_name", report.model_name},
                                 {"model_bytes", report.model_bytes},
                                 {"device", report.device_name},
                                 {"driver", report.facts.driver},
                                 {"device_facts", facts_json(report.facts)},
                                 {"command", report.command},
                                 {"floor", report.floor},
                                 {"context", report.info.context},
                                 {"prefill_chunk", report.info.prefill_chunk},
                                 {"max_burst", report.info.max_burst},
                                 {"depth", report.depth},
                                 {"repetitions", report.repetitions},
                                 {"seed", report.seed},
                                 {"decode_dispatches", report.info.decode_dispatches},
                                 {"decode_barriers", report.info.decode_barriers},
                                 {"prefill_dispatches", report.info.prefill_dispatches},
                                 {"prefill_barriers", report.info.prefill_barriers},
                                 {"decode_weight_bytes", report.info.decode_weight_bytes},
                                 {"memory", memory_json(report.info)}};
  if (report.rates.copy.passes > 0) {
    json["copy"] = {{"gigabytes_per_second", report.rates.copy.gigabytes_per_second},
                    {"pass_bytes", report.rates.copy.pass_bytes},
                    {"passes", report.rates.copy.passes}};
    json["gigaflops"] = report.rates.gigaflops;
  }
  json["tests"] = nlohmann::ordered_json::array();
  for (const TestResult& test : report.tests)
    json["tests"].push_back(test_json(report, test));
  json["kernels"] = kernels_json(report);
  // A name from a model file may be no UTF-8.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string to_csv(const Report& report) {
  std::string text =
      "model,device,floor,depth,test,tokens,repetitions,tokens_per_second,stddev,median,"
      "decode_weight_bytes,weight_gigabytes_per_second,copy_gigabytes_per_second,host_bytes,"
      "device_bytes\n";
  for (const TestResult& test : report.tests) {
    const std::vector<double> rates = test.rates();
    text += fmt::format("{},{},{},{},{},{},{},{:.4f},{:.4f},{:.4f},{},{},{},{},{}\n",
                        csv_cell(report.model_file), csv_cell(report.device_name),
                        report.floor ? 1 : 0, test.depth, test.prefill ? "pp" : "tg", test.tokens,
                        test.seconds.size(), mean(rates), standard_deviation(rates), median(rates),
                        report.info.decode_weight_bytes,
                        optional_figure(weight_gigabytes_per_second(report, test)),
                        optional_figure(report.rates.copy.gigabytes_per_second),
                        report.info.memory.host_bytes, report.info.memory.device_bytes);
  }
  return text;
}

}  // namespace nbl::tools
