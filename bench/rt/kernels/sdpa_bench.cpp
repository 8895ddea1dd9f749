// Attention over the cache: a decode step at several depths, and a prefill chunk.
#include <cmath>
#include <vector>

#include "bench/support/timing.h"
#include "rt/kernels/sdpa.h"
#include "tests/support/rows.h"

namespace {

using namespace nbl;
using nbl::bench::add_time;
using nbl::test::reads;
using nbl::test::writes;

constexpr double kTolerance = 1e-4;  // float32 sums over at most a few thousand positions

struct Case {
  SdpaArgs args;
  uint32_t position;
  std::vector<uint32_t> step, q, k, v, out;
  std::vector<uint32_t> sums, max_sum;
  std::vector<float> q_values;
};

Case make_case(uint32_t tokens, uint32_t position, uint32_t heads, uint32_t kv_heads,
               uint32_t head_dim) {
  test::Random random(7);
  Case c{};
  c.position = position;
  c.args = {.tokens = tokens,
            .heads = heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .context = position + tokens,
            .scale = 1 / std::sqrt(static_cast<float>(head_dim))};
  c.step = test::step_words(position, tokens);
  c.q_values = random.normals(size_t{tokens} * heads * head_dim);
  c.q = test::activation_words(c.q_values, tokens, heads * head_dim);
  const size_t halves = size_t{kv_heads} * c.args.context * head_dim;
  for (std::vector<uint32_t>* cache : {&c.k, &c.v}) {
    cache->assign((halves + 1) / 2, 0);
    for (size_t i = 0; i < halves; ++i) {
      test::set_half(*cache, i, test::f32_to_f16(random.uniform(-1, 1)));
    }
  }
  c.out.assign(c.q.size(), test::kPoison);
  return c;
}

// One row in float64, straight from the formula.
std::vector<double> reference_row(const Case& c, uint32_t token, uint32_t head) {
  const uint32_t d = c.args.head_dim;
  const uint32_t kv = head / (c.args.heads / c.args.kv_heads);
  const uint32_t live = c.position + token + 1;
  std::vector<double> weights(live), out(d);
  const auto cache = [&](const std::vector<uint32_t>& words, uint32_t p, uint32_t i) -> double {
    return test::half_value(test::half_at(words, (size_t{kv} * c.args.context + p) * d + i));
  };
  double top = -INFINITY, total = 0;
  for (uint32_t p = 0; p < live; ++p) {
    for (uint32_t i = 0; i < d; ++i) {
      const size_t at = (size_t{token} * c.args.heads + head) * d + i;
      weights[p] += cache(c.k, p, i) * static_cast<double>(c.q_values[at]);
    }
    weights[p] *= static_cast<double>(c.args.scale);
    top = std::max(top, weights[p]);
  }
  for (double& weight : weights)
    total += weight = std::exp(weight - top);
  for (uint32_t p = 0; p < live; ++p) {
    for (uint32_t i = 0; i < d; ++i)
      out[i] += weights[p] / total * cache(c.v, p, i);
  }
  return out;
}

// The first and the last token's heads.
double worst_error(const Case& c) {
  double worst = 0;
  const uint32_t stride = row_stride(c.args.heads * c.args.head_dim);
  for (const uint32_t token : {0u, c.args.tokens - 1}) {
    for (uint32_t head = 0; head < c.args.heads; ++head) {
      const std::vector<double> reference = reference_row(c, token, head);
      std::vector<float> out(c.args.head_dim);
      for (uint32_t i = 0; i < c.args.head_dim; ++i) {
        out[i] = std::bit_cast<float>(c.out[size_t{token} * stride + head * c.args.head_dim + i]);
      }
      worst = std::max(worst, test::relative_error(reference, out));
    }
  }
  return worst;
}

// Adds the time of one attention: one dispatch, or two where the context is split.
bool run_case(benchmark::State& state, test::Gpu* gpu, Case& c, uint32_t repeats, double* seconds) {
  const Caps& caps = gpu->caps();
  Error error{};
  KernelCall attend{}, combine{};
  if (!call_sdpa(caps, c.args, &attend, &error).ok()) {
    state.SkipWithError("no variant of sdpa fits");
    return false;
  }
  if (c.args.splits == 1) {
    // max_sum is not touched then; any buffer will do.
    std::vector<uint32_t> unused(4, test::kPoison);
    return add_time(state, gpu, attend,
                    {reads(c.step), reads(c.q), reads(c.k), reads(c.v), writes(c.out),
                     reads(unused), reads(unused)},
                    repeats, seconds);
  }
  if (!call_sdpa_combine(caps, c.args, &combine, &error).ok()) {
    state.SkipWithError("no variant of sdpa_combine fits");
    return false;
  }
  return add_time(state, gpu, attend,
                  {reads(c.step), reads(c.q), reads(c.k), reads(c.v), writes(c.sums),
                   writes(c.max_sum), reads(c.q)},
                  repeats, seconds) &&
         add_time(state, gpu, combine,
                  {reads(c.step), reads(c.sums), reads(c.max_sum), writes(c.out)}, repeats,
                  seconds);
}

// Arguments: tokens, position, heads, kv heads, head dim.
void BM_sdpa(benchmark::State& state) {
  test::Gpu* gpu = bench::require_gpu(state);
  if (gpu == nullptr) return;
  const auto argument = [&](size_t i) { return static_cast<uint32_t>(state.range(i)); };
  Case c = make_case(argument(0), argument(1), argument(2), argument(3), argument(4));
  c.args.splits = sdpa_splits(gpu->caps(), c.args);
  const SdpaPartialBytes partial = sdpa_partial_bytes(c.args, c.args.splits);
  c.sums.assign(partial.sums / 4, test::kPoison);
  c.max_sum.assign(partial.max_sum / 4, test::kPoison);

  double seconds = 0;
  if (!run_case(state, gpu, c, 1, &seconds)) return;
  if (const double error = worst_error(c); !(error < kTolerance)) {
    state.SkipWithError(("wrong result: relative error " + std::to_string(error)).c_str());
    return;
  }
  const double rows = c.args.tokens * c.args.heads * c.args.head_dim;
  const double positions = c.args.kv_heads * c.args.head_dim * c.args.context;
  const double mean_live = c.position + (c.args.tokens + 1) / 2.0;
  bench::time_runs(
      state, seconds, 2 * 2 * positions + 2 * 4 * rows, 4 * rows * mean_live,
      [&](uint32_t repeats, double* total) { return run_case(state, gpu, c, repeats, total); });
  state.counters["splits"] = c.args.splits;
}

BENCHMARK(BM_sdpa)
    ->ArgNames({"tokens", "position", "heads", "kv_heads", "head_dim"})
    ->Args({1, 63, 32, 8, 64})
    ->Args({1, 511, 32, 8, 64})
    ->Args({1, 2047, 32, 8, 64})
    ->Args({1, 2047, 9, 3, 64})
    ->Args({1, 2047, 32, 8, 128})
    ->Args({61, 0, 32, 8, 64})
    ->Args({61, 967, 32, 8, 64})
    ->Iterations(10)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
