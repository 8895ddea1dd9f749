// What the kernel benchmarks share: the device, one timed submit, the figures of a line.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "tests/support/gpu.h"

namespace nbl::bench {

// Dispatches in a timed submit: enough that the submit itself does not show, unless one takes long.
inline constexpr uint32_t kMostRepeats = 20;
inline constexpr double kSubmitSeconds = 0.02;

inline uint32_t repeats_for(double seconds) {
  return static_cast<uint32_t>(std::clamp(kSubmitSeconds / seconds, 1.0, 1.0 * kMostRepeats));
}

// The device, or null after the benchmark was told to skip.
inline test::Gpu* require_gpu(benchmark::State& state) {
  test::Gpu* gpu = test::Gpu::instance();
  if (gpu == nullptr) state.SkipWithError(test::Gpu::missing().c_str());
  return gpu;
}

// Runs `call` `repeats` times in a submit and adds a dispatch's share to *seconds. False after the
// benchmark was told to stop.
inline bool add_time(benchmark::State& state, test::Gpu* gpu, const KernelCall& call,
                     std::initializer_list<test::Binding> bindings, uint32_t repeats,
                     double* seconds) {
  const std::string failure = gpu->run(call, bindings, repeats);
  if (!failure.empty()) {
    state.SkipWithError(failure.c_str());
    return false;
  }
  *seconds += gpu->last_run_ns() / repeats / 1e9;
  return true;
}

// Times `run(repeats, &seconds)` and reports the bytes and operations of one run a second.
template <typename Run>
void time_runs(benchmark::State& state, double first_seconds, double bytes, double flops,
               const Run& run) {
  const uint32_t repeats = repeats_for(first_seconds);
  double total = 0;
  for (auto _ : state) {
    double seconds = 0;
    if (!run(repeats, &seconds)) return;
    state.SetIterationTime(seconds);
    total += seconds;
  }
  const double runs_per_second = static_cast<double>(state.iterations()) / total;
  state.counters["GB/s"] = bytes * runs_per_second / 1e9;
  state.counters["GFLOP/s"] = flops * runs_per_second / 1e9;
}

}  // namespace nbl::bench
