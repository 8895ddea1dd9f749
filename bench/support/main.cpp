// Names the device, then runs the benchmarks.
#include <benchmark/benchmark.h>

#include "tests/support/gpu.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const nbl::test::Gpu* gpu = nbl::test::Gpu::instance();
  benchmark::AddCustomContext("device",
                              gpu != nullptr ? gpu->caps().name : nbl::test::Gpu::missing());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
