#include "tools/common/compare_results.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "tools/common/failure.h"
#include "tools/common/mapped_file.h"
#include "tools/common/statistics.h"
#include "tools/common/table.h"

namespace nbl::tools {
namespace {

using nlohmann::json;

// What is compared: tokens a second, or microseconds a step.
struct Figure {
  std::string name;
  bool more_is_better = true;
  double mean = 0;
  double deviation = 0;
  uint64_t count = 0;  // of measurements; 0 where their spread is not known
};

struct Result {
  std::string path;
  json root;
  std::vector<Figure> figures;
};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Failure(fmt::format("{} is no result of nibble-bench -o json: {}", path, why));
}

// "tg 64", "tg 64 @ 1024" where it is of another depth than the result's first.
std::string test_name(const json& root, const json& test) {
  const std::string name =
      fmt::format("{} {}", test.at("test").get<std::string>(), test.at("tokens").get<uint64_t>());
  const auto first = root.at("depth").get<uint64_t>();
  const auto depth = test.value("depth", first);
  return depth == first ? name : fmt::format("{} @ {}", name, depth);
}

std::vector<Figure> figures_of(const json& root) {
  std::vector<Figure> figures;
  for (const json& test : root.at("tests")) {
    figures.push_back({.name = test_name(root, test),
                       .mean = test.at("tokens_per_second_mean").get<double>(),
                       .deviation = test.at("tokens_per_second_stddev").get<double>(),
                       .count = test.at("seconds").size()});
  }
  for (const json& phase : root.at("kernels")) {
    const std::string name = phase.at("phase").get<std::string>();
    const auto tokens = phase.at("tokens").get<uint64_t>();
    for (const json& row : phase.at("rows")) {
      const bool spread = row.contains("us_a_step_stddev");
      figures.push_back(
          {.name = fmt::format("{} {} {}", name, tokens, row.at("kernel").get<std::string>()),
           .more_is_better = false,
           .mean = row.at("us_a_step").get<double>(),
           .deviation = spread ? row.at("us_a_step_stddev").get<double>() : 0,
           .count = spread ? phase.at("steps").get<uint64_t>() : 0});
    }
  }
  return figures;
}

Figure figure_of(const std::string& name, bool more_is_better, const json& values,
                 double (*number)(const json&)) {
  std::vector<double> numbers;
  for (const json& value : values)
    numbers.push_back(number(value));
  return {.name = name,
          .more_is_better = more_is_better,
          .mean = mean(numbers),
          .deviation = standard_deviation(numbers),
          .count = numbers.size()};
}

// What only some results have.
void add_rare_figures(const json& root, std::vector<Figure>* figures) {
  if (const auto start = root.find("start"); start != root.end()) {
    const auto ms = [](const json& value) { return value.get<double>() * 1e3; };
    figures->push_back(figure_of("start, no cache, ms", false, start->at("no_cache_seconds"), ms));
    figures->push_back(
        figure_of("start, with cache, ms", false, start->at("with_cache_seconds"), ms));
  }
  if (const auto sustained = root.find("sustained"); sustained != root.end()) {
    const auto rate = [](const json& value) { return value.at("tokens_per_second").get<double>(); };
    figures->push_back(figure_of("sustained", true, sustained->at("intervals"), rate));
  }
  for (const json& test : root.at("tests")) {
    for (const json& energy : test.value("energy", json::array())) {
      figures->push_back({.name = fmt::format("{} mJ/token, {}", test_name(root, test),
                                              energy.at("sensor").get<std::string>()),
                          .more_is_better = false,
                          .mean = energy.at("joules_per_token").get<double>() * 1e3});
    }
  }
}

Result read_result(const std::string& path) {
  Result result{.path = path, .root = {}, .figures = {}};
  const std::string text = read_text_file(path);
  result.root = json::parse(text, nullptr, false);
  if (result.root.is_discarded()) refuse(path, "it is no JSON");
  try {
    result.figures = figures_of(result.root);
    add_rare_figures(result.root, &result.figures);
    for (const char* const key : {"model_name", "device"})
      (void)result.root.at(key).get<std::string>();
    (void)result.root.at("depth").get<uint64_t>();
  } catch (const json::exception& error) {
    // "[json.exception.out_of_range.403] key 'tests' not found"
    const std::string why = error.what();
    refuse(path, why.substr(why.find(']') == std::string::npos ? 0 : why.find(']') + 2));
  }
  return result;
}

std::string value_of(const Result& result, const char* key) {
  const auto found = result.root.find(key);
  if (found == result.root.end()) return "unknown";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// Figures of another model or depth say nothing about each other.
void need_same(const Result& before, const Result& after, const char* key, const char* what) {
  if (value_of(before, key) == value_of(after, key)) return;
  throw Failure(fmt::format("{} is of {} {}, {} of {}: there is nothing to compare", before.path,
                            what, value_of(before, key), after.path, value_of(after, key)));
}

std::string differences(const Result& before, const Result& after) {
  std::string text;
  for (const char* const key : {"commit", "device", "driver", "floor", "context", "prefill_chunk",
                                "max_burst", "decode_weight_bytes", "decode_dispatches",
                                "decode_barriers", "prefill_dispatches", "prefill_barriers"}) {
    const std::string was = value_of(before, key), is = value_of(after, key);
    if (was != is) text += fmt::format("{}: {} -> {}\n", key, was, is);
  }
  return text;
}

const Figure* find(const Result& result, const std::string& name) {
  for (const Figure& figure : result.figures) {
    if (figure.name == name) return &figure;
  }
  return nullptr;
}

std::string cell(const Figure* figure) {
  if (figure == nullptr) return "";
  return fmt::format("{:.2f} ± {:.2f}", figure->mean, figure->deviation);
}

std::string verdict(const Figure& before, const Figure& after) {
  const double change = after.mean - before.mean;
  if (before.count < 2 || after.count < 2) return "";
  if (std::abs(change) <= before.deviation + after.deviation) return "";
  return (change > 0) == before.more_is_better ? "faster" : "slower";
}

Row row_of(const std::string& name, const Figure* before, const Figure* after) {
  Row row = {name, cell(before), cell(after), "", ""};
  if (before == nullptr || after == nullptr) return row;
  if (before->mean > 0) {
    row[3] = fmt::format("{:+.1f}", (after->mean / before->mean - 1) * 100);
  }
  row[4] = verdict(*before, *after);
  return row;
}

}  // namespace

std::string compare_results(const std::string& before_path, const std::string& after_path) {
  const Result before = read_result(before_path), after = read_result(after_path);
  need_same(before, after, "model_name", "model");
  need_same(before, after, "depth", "depth");
  std::vector<Row> rows;
  size_t common = 0;
  for (const Figure& figure : before.figures) {
    const Figure* other = find(after, figure.name);
    common += other != nullptr ? 1 : 0;
    rows.push_back(row_of(figure.name, &figure, other));
  }
  for (const Figure& figure : after.figures) {
    if (find(before, figure.name) == nullptr) {
      rows.push_back(row_of(figure.name, nullptr, &figure));
    }
  }
  if (common == 0) {
    throw Failure(fmt::format("{} and {} have no test in common", before_path, after_path));
  }
  return fmt::format("{} on {}, depth {}\n{}\n", value_of(before, "model_name"),
                     value_of(after, "device"), value_of(before, "depth"),
                     differences(before, after)) +
         aligned_table({"tokens/s, us a step", "before", "after", "change %", ""}, rows, 1);
}

}  // namespace nbl::tools
