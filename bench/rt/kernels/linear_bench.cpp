// 4-bit linears: a token at a time as in decode, and chunks as in prefill.
#include <algorithm>
#include <vector>

#include "bench/support/timing.h"
#include "rt/kernels/linear.h"
#include "rt/kernels/linear_dq8ca.h"
#include "rt/kernels/quantize_rows.h"
#include "rt/kernels/variants.h"
#include "tests/support/rows.h"

namespace {

using namespace nbl;
using nbl::bench::add_time;
using nbl::test::reads;
using nbl::test::texels;
using nbl::test::writes;

constexpr double kTolerance = 1e-4;  // float32 sums over at most 8192 products
constexpr double kInt8Tolerance = 2e-2;
constexpr uint32_t kRowStep = 37;  // rows that are checked: every 37th

struct Case {
  LinearArgs args;
  test::Q4Matrix weight;
  std::vector<float> x_values;
  std::vector<uint32_t> step, x, out;
};

Case make_case(uint32_t tokens, uint32_t rows, uint32_t columns, uint32_t group_size) {
  test::Random random(11);
  Case c{};
  c.weight = test::random_q4(random, rows, columns, group_size);
  c.args = {.tokens = tokens,
            .rows = rows,
            .columns = columns,
            .group_size = group_size,
            .row_begin = 0,
            .row_count = c.weight.padded_rows,
            .norm = false,
            .bias = false,
            .residual = false,
            .swiglu = false,
            .last_row = false,
            .eps = 0};
  c.x_values = random.normals(size_t{tokens} * columns);
  c.x = test::activation_words(c.x_values, tokens, columns);
  c.step = test::step_words(0, tokens);
  c.out.assign(size_t{tokens} * row_stride(rows), test::kPoison);
  return c;
}

// Of a sample of rows, for the first and the last token.
double sampled_error(const Case& c) {
  std::vector<double> reference;
  std::vector<float> out;
  for (const uint32_t token : {0u, c.args.tokens - 1}) {
    for (uint32_t row = 0; row < c.args.rows; row += kRowStep) {
      double sum = 0;
      for (uint32_t k = 0; k < c.args.columns; ++k) {
        sum += c.weight.at(row, k) *
               static_cast<double>(c.x_values[size_t{token} * c.args.columns + k]);
      }
      reference.push_back(sum);
      out.push_back(std::bit_cast<float>(c.out[size_t{token} * row_stride(c.args.rows) + row]));
    }
  }
  return test::relative_error(reference, out);
}

bool run_case(benchmark::State& state, test::Gpu* gpu, const KernelCall& call, Case& c,
              uint32_t repeats, double* seconds) {
  const test::Binding x = reads(c.x);
  const auto& values = c.weight.value_words;
  return add_time(state, gpu, call,
                  {reads(c.step), x, c.args.texture ? texels(values) : reads(values),
                   reads(c.weight.scale_words), writes(c.out), x, x, x},
                  repeats, seconds);
}

void run_linear(benchmark::State& state, bool texture) {
  test::Gpu* gpu = bench::require_gpu(state);
  if (gpu == nullptr) return;
  const auto argument = [&](size_t i) { return static_cast<uint32_t>(state.range(i)); };
  Case c = make_case(argument(0), argument(1), argument(2), argument(3));
  c.args.texture = texture;
  Caps caps = gpu->caps();
  caps.features |= kTextureWeights;
  KernelCall call{};
  Error failure{};
  if (!call_linear(caps, c.args, &call, &failure).ok()) {
    state.SkipWithError("no variant of linear fits");
    return;
  }
  double seconds = 0;
  if (!run_case(state, gpu, call, c, 1, &seconds)) return;
  if (const double error = sampled_error(c); !(error < kTolerance)) {
    state.SkipWithError(("wrong result: relative error " + std::to_string(error)).c_str());
    return;
  }
  const double weights =
      static_cast<double>(c.weight.value_words.size() * 4 + c.weight.scale_words.size() * 4);
  const double activations = 4.0 * c.args.tokens * (c.args.rows + c.args.columns);
  bench::time_runs(state, seconds, weights + activations,
                   2.0 * c.args.tokens * c.args.rows * c.args.columns,
                   [&](uint32_t repeats, double* total) {
                     return run_case(state, gpu, call, c, repeats, total);
                   });
  state.SetLabel(kVariants[call.variant].name);
}

// Arguments: tokens, rows, columns, group size.
void BM_linear(benchmark::State& state) {
  run_linear(state, false);
}
void BM_linear_texture(benchmark::State& state) {
  run_linear(state, true);
}

// The same with int8 activations: rows that are rounded already, and the rounding by itself.
struct Int8Case {
  Case base;
  std::vector<uint32_t> rows, params;
};

bool run_rounding(benchmark::State& state, test::Gpu* gpu, Int8Case& c, uint32_t repeats,
                  double* seconds) {
  const QuantizeRowsArgs args{.tokens = c.base.args.tokens,
                              .columns = c.base.args.columns,
                              .norm = false,
                              .last_row = false,
                              .eps = 0};
  KernelCall call{};
  if (!call_quantize_rows(gpu->caps(), args, &call, nullptr).ok()) return false;
  const test::Binding x = reads(c.base.x);
  return add_time(state, gpu, call, {reads(c.base.step), x, x, writes(c.rows), writes(c.params)},
                  repeats, seconds);
}

bool run_int8(benchmark::State& state, test::Gpu* gpu, const KernelCall& call, Int8Case& c,
              uint32_t repeats, double* seconds) {
  const test::Binding rows = reads(c.rows);
  return add_time(
      state, gpu, call,
      {reads(c.base.step), rows, reads(c.base.weight.value_words), reads(c.base.weight.scale_words),
       writes(c.base.out), reads(c.params), rows, rows},
      repeats, seconds);
}

void BM_linear_dq8ca(benchmark::State& state) {
  test::Gpu* gpu = bench::require_gpu(state);
  if (gpu == nullptr) return;
  const auto argument = [&](size_t i) { return static_cast<uint32_t>(state.range(i)); };
  Int8Case c{make_case(argument(0), argument(1), argument(2), argument(3)), {}, {}};
  const LinearArgs& args = c.base.args;
  c.rows.assign(args.tokens * quantized_row_bytes(args.columns) / 4, 0);
  c.params.assign(args.tokens * kRowParamsBytes / 4, 0);
  KernelCall call{};
  if (!call_linear_dq8ca(gpu->caps(), args, &call, nullptr).ok()) {
    state.SkipWithError("no variant of linear_dq8ca fits");
    return;
  }
  double seconds = 0, rounding = 0;
  if (!run_rounding(state, gpu, c, 1, &rounding)) return;
  if (!run_int8(state, gpu, call, c, 1, &seconds)) return;
  // Rounding to 255 steps: 0.8 % of normal values.
  if (const double error = sampled_error(c.base); !(error < kInt8Tolerance)) {
    state.SkipWithError(("wrong result: relative error " + std::to_string(error)).c_str());
    return;
  }
  rounding = 0;
  constexpr uint32_t kRounds = 20;
  if (!run_rounding(state, gpu, c, kRounds, &rounding)) return;
  const double weights = static_cast<double>(c.base.weight.value_words.size() * 4 +
                                             c.base.weight.scale_words.size() * 4);
  const double activations = 1.0 * args.tokens * (4.0 * args.rows + args.columns);
  bench::time_runs(state, seconds, weights + activations,
                   2.0 * args.tokens * args.rows * args.columns,
                   [&](uint32_t repeats, double* total) {
                     return run_int8(state, gpu, call, c, repeats, total);
                   });
  state.counters["rounding us"] = rounding * 1e6;
  state.SetLabel(kVariants[call.variant].name);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tokens", "rows", "columns", "group"})
      ->Args({1, 288, 288, 32})
      ->Args({1, 1536, 288, 32})
      ->Args({1, 32000, 288, 32})
      ->Args({1, 960, 576, 32})
      ->Args({1, 576, 1536, 32})
      ->Args({1, 49152, 576, 32})
      ->Args({1, 2048, 2048, 32})
      ->Args({1, 2048, 2048, 128})
      ->Args({1, 8192, 2048, 32})
      ->Args({1, 2048, 8192, 32})
      ->Args({7, 1021, 1003, 32})
      ->Args({32, 2048, 2048, 32})
      ->Args({64, 960, 576, 32})
      ->Iterations(10)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}
BENCHMARK(BM_linear)->Apply(shapes);
BENCHMARK(BM_linear_dq8ca)->Apply(shapes);

BENCHMARK(BM_linear_texture)
    ->ArgNames({"tokens", "rows", "columns", "group"})
    ->Args({1, 960, 576, 32})
    ->Args({1, 49152, 576, 32})
    ->Args({1, 2048, 2048, 32})
    ->Args({1, 8192, 2048, 32})
    ->Args({7, 1021, 1003, 32})
    ->Args({32, 2048, 2048, 32})
    ->Iterations(10)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
