// What the timestamps of an engine say, kept beyond its end, and summed up by kernel.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rt/nibble.hpp"
#include "tools/common/device_rates.h"

namespace nbl::tools {

// nbl_timing with strings of its own.
struct TimedDispatch {
  uint32_t index = 0;
  std::string kernel, node, op;
  std::array<uint32_t, 3> grid = {};
  std::array<uint32_t, 3> local_size = {};
  std::array<uint64_t, 3> global_size = {};
  uint64_t start_ns = 0, end_ns = 0, duration_ns = 0;
  uint64_t bytes = 0;
  uint64_t flops = 0;  // tools/common/flops.h
};

using TimedStep = std::vector<TimedDispatch>;

// Steps of one kind that did the same work.
struct TimedPhase {
  std::string name;     // "decode", "prefill"
  uint32_t tokens = 0;  // of a step
  std::vector<TimedStep> steps;
};

// All dispatches of one SPIR-V variant in all steps of a phase.
struct KernelTotal {
  std::string kernel;
  uint64_t count = 0;
  uint64_t total_ns = 0;
  uint64_t min_ns = ~uint64_t{0};  // of one dispatch
  uint64_t max_ns = 0;
  uint64_t bytes = 0;
  uint64_t flops = 0;

  double mean_ns() const;
};

// Of the engine's last step. Errors  Failure.
TimedStep read_step(nibble::Engine& engine, bool prefill);

// The most expensive first; equal ones by name.
std::vector<KernelTotal> kernel_totals(const TimedPhase& phase);

uint64_t total_ns(const std::vector<KernelTotal>& totals);
// From the first dispatch's start to the last one's end, mean of the steps.
double step_ns(const TimedPhase& phase);

// Two tables: the times, and how near they come to the device's rates. Columns of rates that are
// not known stay empty, in the TSV too.
std::string kernels_table(const TimedPhase& phase, const DeviceRates& rates);
// The dispatches of the last step.
std::string dispatches_table(const TimedPhase& phase);

// A header line, then a line a kernel or a dispatch. Columns in docs/performance.md.
std::string kernels_tsv(const std::vector<TimedPhase>& phases, const DeviceRates& rates);
std::string dispatches_tsv(const std::vector<TimedPhase>& phases);

}  // namespace nbl::tools
