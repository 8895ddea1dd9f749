// Could break: a total that is the first match or leaves steps out, a mean of means, times that
// lose their last digits, names that break a table.
#include "tools/common/kernel_times.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tools/common/table.h"

namespace nbl::tools {
namespace {

TimedDispatch dispatch(uint32_t index, const char* kernel, uint64_t start_ns, uint64_t duration_ns,
                       uint64_t bytes = 0) {
  TimedDispatch d;
  d.index = index;
  d.kernel = kernel;
  d.node = "node " + std::to_string(index);
  d.op = "add";
  d.grid = {2, 3, 1};
  d.local_size = {64, 1, 1};
  d.global_size = {128, 3, 1};
  d.start_ns = start_ns;
  d.end_ns = start_ns + duration_ns;
  d.duration_ns = duration_ns;
  d.bytes = bytes;
  d.flops = 3 * bytes;
  return d;
}

// Two steps of three kernels; "b" runs twice a step and is the most expensive.
TimedPhase two_steps() {
  return {"decode",
          1,
          {{dispatch(0, "a", 0, 10, 5), dispatch(1, "b", 10, 100, 1000),
            dispatch(2, "b", 115, 300, 1000), dispatch(3, "c", 415, 35)},
           {dispatch(0, "a", 0, 30, 5), dispatch(1, "b", 30, 200, 1000),
            dispatch(2, "b", 235, 1001, 1000), dispatch(3, "c", 1236, 5)}}};
}

DeviceRates known_rates() {
  DeviceRates rates;
  rates.copy.gigabytes_per_second = 4;
  rates.gigaflops = 50;
  return rates;
}

std::vector<Row> lines_of(const std::string& tsv) {
  std::vector<Row> rows;
  std::istringstream text(tsv);
  for (std::string line; std::getline(text, line);) {
    rows.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, '\t');)
      rows.back().push_back(cell);
  }
  return rows;
}

TEST(KernelTimes, sum_up_every_dispatch_of_a_kernel) {
  const std::vector<KernelTotal> totals = kernel_totals(two_steps());
  ASSERT_EQ(totals.size(), 3u);
  const KernelTotal& b = totals[0];
  EXPECT_EQ(b.kernel, "b");
  EXPECT_EQ(b.count, 4u);
  EXPECT_EQ(b.total_ns, 100u + 300 + 200 + 1001);
  EXPECT_DOUBLE_EQ(b.mean_ns(), 1601 / 4.0);
  EXPECT_EQ(b.min_ns, 100u);
  EXPECT_EQ(b.max_ns, 1001u);
  EXPECT_EQ(b.bytes, 4000u);
  EXPECT_EQ(b.flops, 12000u);
  // Equal totals are in the order of their names.
  EXPECT_EQ(totals[1].kernel, "a");
  EXPECT_EQ(totals[2].kernel, "c");
  EXPECT_EQ(totals[1].total_ns, 40u);
  EXPECT_EQ(totals[2].total_ns, 40u);
  EXPECT_EQ(total_ns(totals), 1601u + 40 + 40);
  EXPECT_DOUBLE_EQ(step_ns(two_steps()), (450 + 1241) / 2.0);
}

TEST(KernelTimes, of_nothing_are_empty) {
  const TimedPhase none{"decode", 1, {}};
  EXPECT_TRUE(kernel_totals(none).empty());
  EXPECT_EQ(step_ns(none), 0);
  EXPECT_NE(kernels_table(none, {}).find("kernel"), std::string::npos);
  EXPECT_NE(dispatches_table(none).find("kernel"), std::string::npos);
  EXPECT_EQ(lines_of(kernels_tsv({}, {})).size(), 1u);
  const TimedPhase zero{"decode", 1, {{dispatch(0, "a", 0, 0)}}};
  EXPECT_EQ(kernel_totals(zero)[0].mean_ns(), 0);
  EXPECT_EQ(kernels_table(zero, {}).find("nan"), std::string::npos);
}

TEST(KernelTimes, keep_sums_beyond_a_double) {
  const uint64_t day = 86'400'000'000'001;
  TimedPhase phase{"decode", 1, {}};
  for (int i = 0; i < 1000; ++i)
    phase.steps.push_back({dispatch(0, "a", 0, day)});
  EXPECT_EQ(kernel_totals(phase)[0].total_ns, day * 1000);
  EXPECT_EQ(lines_of(kernels_tsv({phase}, {}))[1][5], std::to_string(day * 1000));
}

TEST(KernelTimes, have_a_column_for_every_figure) {
  const std::vector<Row> kernels = lines_of(kernels_tsv({two_steps()}, known_rates()));
  ASSERT_EQ(kernels.size(), 4u);
  EXPECT_EQ(kernels[0], (Row{"phase", "tokens", "steps", "kernel", "count", "total_ns", "mean_ns",
                             "min_ns", "max_ns", "share", "bytes", "flops", "gb_per_s",
                             "gflop_per_s", "percent_of_copy", "percent_of_peak", "bound"}));
  EXPECT_EQ(kernels[1],
            (Row{"decode", "1", "2", "b", "4", "1601", "400.2", "100", "1001", "0.952409", "4000",
                 "12000", "2.4984", "7.4953", "62.5", "15.0", "bytes"}));
  // Without rates the columns are there, and empty.
  EXPECT_EQ(kernels_tsv({two_steps()}, {}).find("7.4953\t\t\t\n") == std::string::npos, false);
  const std::vector<Row> dispatches = lines_of(dispatches_tsv({two_steps()}));
  ASSERT_EQ(dispatches.size(), 9u);
  EXPECT_EQ(dispatches[0].size(), 15u);
  EXPECT_EQ(dispatches[7], (Row{"decode", "1", "1", "2", "b", "node 2", "add", "128x3x1", "2x3x1",
                                "64x1x1", "235", "1236", "1001", "1000", "3000"}));
}

TEST(KernelTimes, are_printed_in_aligned_columns) {
  const std::string kernels = kernels_table(two_steps(), known_rates());
  const size_t roofs = kernels.find("\n\n|", kernels.find('|'));
  ASSERT_NE(roofs, std::string::npos);
  EXPECT_NE(kernels.find("bytes |", roofs), std::string::npos);
  for (const std::string& table :
       {kernels.substr(0, roofs + 1), kernels.substr(roofs + 2), dispatches_table(two_steps())}) {
    std::istringstream text(table.substr(table.find('|')));
    size_t width = 0;
    size_t rows = 0;
    for (std::string line; std::getline(text, line); ++rows) {
      if (width == 0) width = line.size();
      EXPECT_EQ(line.size(), width) << line;
    }
    EXPECT_GE(rows, 5u);
  }
}

TEST(Table, survives_hostile_names) {
  EXPECT_EQ(tsv_line({"a\tb", "c\nd", ""}), "a b\tc d\t\n");
  const std::string table = aligned_table({"n", "x"}, {{"a|b\n", "1"}, {"ü", "22"}}, 1);
  EXPECT_EQ(table,
            "| n     |    x |\n"
            "| ----- | ---: |\n"
            "| a\\|b  |    1 |\n"
            "| ü     |   22 |\n");
}

}  // namespace
}  // namespace nbl::tools
