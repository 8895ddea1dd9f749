#include "tools/bench_report.h"

#include <fmt/format.h>

#include <numeric>

#include "tools/common/engine_session.h"

namespace nbl::tools {
namespace {

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

// Empty where no sensor was read.
std::string energy_table(const Report& report) {
  std::vector<Row> rows;
  const auto add = [&](const std::vector<Row>& more) {
    rows.insert(rows.end(), more.begin(), more.end());
  };
  for (const TestResult& test : report.tests)
    add(energy_rows(test.name(), test.energy, test.all_tokens(), test.all_seconds()));
  const Sustained& sustained = report.sustained;
  add(energy_rows("sustained", sustained.energy, static_cast<double>(sustained.tokens()),
                  sustained.seconds()));
  if (rows.empty()) return "";
  return "\n" + aligned_table({"energy", "sensor", "J/token", "W"}, rows, 2);
}

}  // namespace

std::string TestResult::name() const {
  const std::string at = depth > 0 ? fmt::format(" @ {}", depth) : "";
  return fmt::format("{} {}{}", prefill ? "pp" : "tg", tokens, at);
}

double TestResult::all_tokens() const {
  return static_cast<double>(tokens) * static_cast<double>(seconds.size());
}

double TestResult::all_seconds() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
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

double weight_gigabytes_per_second(const Report& report, const TestResult& test) {
  if (test.prefill) return 0;
  return mean(test.rates()) * static_cast<double>(report.info.decode_weight_bytes) / 1e9;
}

double gigabytes_per_second(const Report& report, const TestResult& test) {
  if (test.prefill) return 0;
  const double kv = mean(test.rates()) * kv_bytes_per_token(report.info, test) / 1e9;
  return weight_gigabytes_per_second(report, test) + kv;
}

double share_of_copy(const Report& report, double gigabytes_per_second) {
  const double copy = report.rates.copy.gigabytes_per_second;
  return copy > 0 ? gigabytes_per_second / copy * 100 : 0;
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
  text += energy_table(report);
  text += start_table(report.start);
  text += sustained_table(report.sustained);
  for (const TimedPhase& phase : report.phases) {
    text += kernels_table(phase, report.rates);
    if (report.print_dispatches) text += dispatches_table(phase);
  }
  return text;
}

std::string to_csv(const Report& report) {
  std::string text =
      "model,device,floor,depth,test,tokens,repetitions,tokens_per_second,stddev,median,"
      "decode_weight_bytes,weight_gigabytes_per_second,copy_gigabytes_per_second,host_bytes,"
      "device_bytes\n";
  for (const TestResult& test : report.tests) {
    const std::vector<double> rates = test.rates();
    text += fmt::format(
        "{},{},{},{},{},{},{},{:.4f},{:.4f},{:.4f},{},{},{},{},{}\n", csv_cell(report.model_file),
        csv_cell(report.device_name), report.floor ? 1 : 0, test.depth, test.prefill ? "pp" : "tg",
        test.tokens, test.seconds.size(), mean(rates), standard_deviation(rates), median(rates),
        report.info.decode_weight_bytes, optional_figure(weight_gigabytes_per_second(report, test)),
        optional_figure(report.rates.copy.gigabytes_per_second), report.info.memory.host_bytes,
        report.info.memory.device_bytes);
  }
  return text;
}

}  // namespace nbl::tools
