#include "tools/common/kernel_times.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tools/common/failure.h"
#include "tools/common/roofline.h"
#include "tools/common/table.h"

namespace nbl::tools {
namespace {

template <typename Int>
std::string extent(const std::array<Int, 3>& e) {
  return fmt::format("{}x{}x{}", e[0], e[1], e[2]);
}

double microseconds(uint64_t ns) {
  return static_cast<double>(ns) / 1e3;
}

double share_of(uint64_t part, uint64_t all) {
  return all > 0 ? static_cast<double>(part) / static_cast<double>(all) : 0;
}

std::string percent(double value) {
  return value > 0 ? fmt::format("{:.1f}", value) : "";
}

TimedDispatch keep(const nbl_timing& t) {
  TimedDispatch d;
  d.index = t.index;
  d.kernel = t.kernel;
  d.node = t.node;
  d.op = t.op;
  for (size_t axis = 0; axis < 3; ++axis) {
    d.grid[axis] = t.grid[axis];
    d.local_size[axis] = t.local_size[axis];
    d.global_size[axis] = t.global_size[axis];
  }
  d.start_ns = t.start_ns;
  d.end_ns = t.end_ns;
  d.duration_ns = t.duration_ns;
  d.bytes = t.bytes;
  return d;
}

}  // namespace

double KernelTotal::mean_ns() const {
  return count > 0 ? static_cast<double>(total_ns) / static_cast<double>(count) : 0;
}

TimedStep read_step(nibble::Engine& engine, bool prefill) {
  const nbl_info info = engine.info();
  const uint32_t most = std::max(info.prefill_dispatches, info.decode_dispatches);
  std::vector<nbl_timing> timings(most);
  uint32_t count = 0;
  nbl_error error = {};
  check(engine.timings(prefill, timings, &count, &error), error);
  TimedStep step;
  for (uint32_t i = 0; i < count; ++i)
    step.push_back(keep(timings[i]));
  return step;
}

std::vector<KernelTotal> kernel_totals(const TimedPhase& phase) {
  std::map<std::string, KernelTotal> by_name;
  for (const TimedStep& step : phase.steps) {
    for (const TimedDispatch& d : step) {
      KernelTotal& total = by_name[d.kernel];
      total.kernel = d.kernel;
      ++total.count;
      total.total_ns += d.duration_ns;
      total.min_ns = std::min(total.min_ns, d.duration_ns);
      total.max_ns = std::max(total.max_ns, d.duration_ns);
      total.bytes += d.bytes;
      total.flops += d.flops;
    }
  }
  std::vector<KernelTotal> totals;
  for (const auto& [name, total] : by_name)
    totals.push_back(total);
  std::stable_sort(totals.begin(), totals.end(), [](const KernelTotal& a, const KernelTotal& b) {
    return a.total_ns > b.total_ns;
  });
  return totals;
}

uint64_t total_ns(const std::vector<KernelTotal>& totals) {
  uint64_t sum = 0;
  for (const KernelTotal& total : totals)
    sum += total.total_ns;
  return sum;
}

double step_ns(const TimedPhase& phase) {
  uint64_t sum = 0;
  for (const TimedStep& step : phase.steps)
    sum += step.empty() ? 0 : step.back().end_ns - step.front().start_ns;
  return share_of(sum, phase.steps.size());
}

std::string kernels_table(const TimedPhase& phase, const DeviceRates& rates) {
  const std::vector<KernelTotal> totals = kernel_totals(phase);
  const uint64_t all = total_ns(totals);
  const auto steps = static_cast<double>(phase.steps.size());
  std::vector<Row> times, roofs;
  for (const KernelTotal& t : totals) {
    times.push_back(
        {t.kernel, std::to_string(t.count), fmt::format("{:.1f}", microseconds(t.total_ns)),
         fmt::format("{:.1f}", share_of(t.total_ns, phase.steps.size()) / 1e3),
         fmt::format("{:.2f}", t.mean_ns() / 1e3), fmt::format("{:.2f}", microseconds(t.min_ns)),
         fmt::format("{:.2f}", microseconds(t.max_ns)),
         fmt::format("{:.1f}", share_of(t.total_ns, all) * 100)});
    const Roof roof = roof_of(t.bytes, t.flops, t.total_ns, rates);
    roofs.push_back({t.kernel, fmt::format("{:.3f}", static_cast<double>(t.bytes) / 1e6 / steps),
                     fmt::format("{:.3f}", static_cast<double>(t.flops) / 1e6 / steps),
                     fmt::format("{:.2f}", roof.intensity),
                     fmt::format("{:.2f}", roof.gigabytes_per_second),
                     percent(roof.percent_of_copy), fmt::format("{:.2f}", roof.gigaflops),
                     percent(roof.percent_of_peak), roof.bound});
  }
  const double in_kernels = share_of(all, phase.steps.size());
  return fmt::format(
             "\n{}, {} token(s): {:.1f} us from first to last dispatch, {:.1f} of them in "
             "kernels; mean of {} step(s)\n\n",
             phase.name, phase.tokens, step_ns(phase) / 1e3, in_kernels / 1e3, phase.steps.size()) +
         aligned_table(
             {"kernel", "n", "total us", "us a step", "mean us", "min us", "max us", "share %"},
             times, 1) +
         "\n" +
         aligned_table({"kernel", "MB a step", "MFLOP a step", "FLOP/B", "GB/s", "% of copy",
                        "GFLOP/s", "% of peak", "bound by"},
                       roofs, 1);
}

std::string dispatches_table(const TimedPhase& phase) {
  std::vector<Row> rows;
  if (!phase.steps.empty()) {
    for (const TimedDispatch& d : phase.steps.back()) {
      rows.push_back({std::to_string(d.index), d.kernel, d.node, d.op, extent(d.global_size),
                      extent(d.grid), extent(d.local_size),
                      fmt::format("{:.2f}", microseconds(d.start_ns)),
                      fmt::format("{:.2f}", microseconds(d.duration_ns))});
    }
  }
  return fmt::format("\n{}, {} token(s): the dispatches of the last step\n\n", phase.name,
                     phase.tokens) +
         aligned_table({"#", "kernel", "node", "op", "global", "grid", "local", "start us", "us"},
                       rows, 4);
}

std::string kernels_tsv(const std::vector<TimedPhase>& phases, const DeviceRates& rates) {
  std::string text = tsv_line({"phase", "tokens", "steps", "kernel", "count", "total_ns", "mean_ns",
                               "min_ns", "max_ns", "share", "bytes", "flops", "gb_per_s",
                               "gflop_per_s", "percent_of_copy", "percent_of_peak", "bound"});
  for (const TimedPhase& phase : phases) {
    const std::vector<KernelTotal> totals = kernel_totals(phase);
    const uint64_t all = total_ns(totals);
    for (const KernelTotal& t : totals) {
      const Roof roof = roof_of(t.bytes, t.flops, t.total_ns, rates);
      text += tsv_line({phase.name, std::to_string(phase.tokens),
                        std::to_string(phase.steps.size()), t.kernel, std::to_string(t.count),
                        std::to_string(t.total_ns), fmt::format("{:.1f}", t.mean_ns()),
                        std::to_string(t.min_ns), std::to_string(t.max_ns),
                        fmt::format("{:.6f}", share_of(t.total_ns, all)), std::to_string(t.bytes),
                        std::to_string(t.flops), fmt::format("{:.4f}", roof.gigabytes_per_second),
                        fmt::format("{:.4f}", roof.gigaflops), percent(roof.percent_of_copy),
                        percent(roof.percent_of_peak), roof.bound});
    }
  }
  return text;
}

std::string dispatches_tsv(const std::vector<TimedPhase>& phases) {
  std::string text =
      tsv_line({"phase", "tokens", "step", "index", "kernel", "node", "op", "global", "grid",
                "local", "start_ns", "end_ns", "duration_ns", "bytes", "flops"});
  for (const TimedPhase& phase : phases) {
    for (size_t step = 0; step < phase.steps.size(); ++step) {
      for (const TimedDispatch& d : phase.steps[step]) {
        text += tsv_line({phase.name, std::to_string(phase.tokens), std::to_string(step),
                          std::to_string(d.index), d.kernel, d.node, d.op, extent(d.global_size),
                          extent(d.grid), extent(d.local_size), std::to_string(d.start_ns),
                          std::to_string(d.end_ns), std::to_string(d.duration_ns),
                          std::to_string(d.bytes), std::to_string(d.flops)});
      }
    }
  }
  return text;
}

}  // namespace nbl::tools
