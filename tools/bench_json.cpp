// Report -> JSON.
#include <nlohmann/json.hpp>

#include "tools/bench_report.h"
#include "tools/common/roofline.h"

namespace nbl::tools {
namespace {

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

nlohmann::ordered_json energy_json(const std::vector<Energy>& energy, double tokens,
                                   double seconds) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Energy& e : energy) {
    json.push_back({{"sensor", e.sensor},
                    {"joules", e.joules},
                    {"joules_per_token", tokens > 0 ? e.joules / tokens : 0},
                    {"watts", seconds > 0 ? e.joules / seconds : 0}});
  }
  return json;
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
  if (!test.energy.empty()) {
    json["energy"] = energy_json(test.energy, test.all_tokens(), test.all_seconds());
  }
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

nlohmann::ordered_json temperatures_json(const std::vector<Temperature>& temperatures) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Temperature& t : temperatures)
    json.push_back({{"zone", t.zone}, {"celsius", t.celsius}});
  return json;
}

nlohmann::ordered_json sustained_json(const Sustained& sustained) {
  nlohmann::ordered_json intervals = nlohmann::ordered_json::array();
  for (const Interval& interval : sustained.intervals) {
    intervals.push_back({{"seconds", interval.seconds},
                         {"tokens", interval.tokens},
                         {"tokens_per_second", interval.rate()},
                         {"temperatures", temperatures_json(interval.temperatures)}});
  }
  const double tokens = static_cast<double>(sustained.tokens());
  return {{"intervals", intervals},
          {"temperatures_before", temperatures_json(sustained.before)},
          {"lowest_share", sustained.lowest_share()},
          {"throttled", sustained.throttled()},
          {"energy", energy_json(sustained.energy, tokens, sustained.seconds())}};
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
  if (!report.sustained.intervals.empty()) json["sustained"] = sustained_json(report.sustained);
  if (!report.start.no_cache.empty()) {
    json["start"] = {{"no_cache_seconds", report.start.no_cache},
                     {"with_cache_seconds", report.start.with_cache},
                     {"cache_bytes", report.start.cache_bytes}};
  }
  json["kernels"] = kernels_json(report);
  // A name from a model file may be no UTF-8.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace nbl::tools
