#include "tools/common/device_rates.h"

#include <algorithm>
#include <bit>
#include <span>

#include "rt/base/checked.h"
#include "rt/kernels/elementwise.h"
#include "rt/kernels/variants.h"
#include "spirv/elementwise.push.h"
#include "spirv/fma_peak.h"
#include "spirv/step_state.h"
#include "tools/common/device_bench.h"
#include "tools/common/failure.h"

namespace nbl::spirv {
extern const uint32_t fma_peak_words[];
extern const uint32_t fma_peak_word_count;
}  // namespace nbl::spirv

namespace nbl::tools {
namespace {

constexpr uint64_t kLargestBufferBytes = 128ull << 20;  // what every device binds
constexpr uint64_t kSmallestBufferBytes = 4ull << 20;
constexpr uint32_t kColumns = 4096;
constexpr uint32_t kPasses = 10;
constexpr uint32_t kRounds = 3;
constexpr double kPeakSeconds = 0.1;  // of a submit: what it costs itself then does not show
constexpr uint32_t kPeakPasses = 4;
constexpr uint32_t kMostPeakRounds = 1u << 15;  // lavapipe leaves loops after 65,535
constexpr uint32_t kPeakWaves = 16;             // times the invocations that fill the device once
constexpr uint32_t kLocal = FMA_PEAK_LOCAL;

double best_seconds(DeviceBench* bench, std::span<const uint32_t> step) {
  double best = bench->seconds(step);  // pages are touched before anything is timed
  for (uint32_t i = 0; i < kRounds; ++i) {
    const double seconds = bench->seconds(step);
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

CopyBandwidth copy_over(DeviceBench* bench, uint64_t buffer_bytes) {
  const uint32_t rows = static_cast<uint32_t>(buffer_bytes / 4 / kColumns);
  const ElementwiseArgs add{
      .tokens = rows, .columns = kColumns, .function = FUNCTION_ADD, .operand = OPERAND_SAME};
  BenchKernel kernel{
      .call = {}, .buffers = 3, .buffer_bytes = uint64_t{rows} * kColumns * 4, .passes = kPasses};
  bench->need(call_elementwise(bench->caps(), add, &kernel.call, bench->error()));
  bench->record(kernel);
  uint32_t step[STEP_TOKENS] = {};
  step[STEP_TOKEN_COUNT] = rows;
  const uint64_t moved = 3 * kernel.buffer_bytes;
  return {moved, kPasses, 1e-9 * static_cast<double>(moved) * kPasses / best_seconds(bench, step)};
}

CopyBandwidth measure_copy(nbl_get_instance_proc_addr entry, int32_t device_index) {
  for (uint64_t bytes = kLargestBufferBytes;; bytes /= 2) {
    try {
      DeviceBench bench(entry, device_index, "measuring the memory bandwidth");
      return copy_over(&bench, bytes);
    } catch (const Failure&) {
      if (bytes <= kSmallestBufferBytes) throw;
    }
  }
}

double measure_gigaflops(DeviceBench* bench) {
  const uint32_t groups = div_up(std::max(bench->caps().lanes, 1u) * kPeakWaves, kLocal);
  BenchKernel kernel{.call = {},
                     .words = {spirv::fma_peak_words, spirv::fma_peak_word_count},
                     .passes = kPeakPasses};
  // Stands for one whose bindings are all buffers.
  kernel.call.variant = static_cast<uint16_t>(VariantId::elementwise_floor);
  set_grid_folded(&kernel.call, groups, bench->caps().max_grid[0]);
  // Folding rounds the groups up.
  const uint64_t items = uint64_t{kernel.call.grid[0]} * kernel.call.grid[1] * kLocal;
  kernel.buffer_bytes = items * 16;
  bench->record(kernel);
  uint32_t step[STEP_TOKENS] = {};
  step[STEP_TEMPERATURE] = std::bit_cast<uint32_t>(0.5f);
  step[STEP_TOP_P] = std::bit_cast<uint32_t>(0.25f);
  bench->seconds(step);  // some drivers compile here
  uint32_t rounds = 64;
  for (; rounds < kMostPeakRounds; rounds *= 2) {
    step[STEP_TOKEN_COUNT] = rounds;
    if (bench->seconds(step) >= kPeakSeconds) break;
  }
  const double flops =
      2.0 * FMA_PEAK_FLOATS * FMA_PEAK_STEPS * rounds * kPeakPasses * static_cast<double>(items);
  return 1e-9 * flops / best_seconds(bench, step);
}

}  // namespace

DeviceRates measure_device(nbl_get_instance_proc_addr entry, int32_t device_index) {
  DeviceRates rates;
  rates.copy = measure_copy(entry, device_index);
  DeviceBench bench(entry, device_index, "measuring the arithmetic");
  rates.gigaflops = measure_gigaflops(&bench);
  return rates;
}

}  // namespace nbl::tools
