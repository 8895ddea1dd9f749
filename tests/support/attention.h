// Attention in float64 and a runner for the sdpa kernels, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "rt/kernels/sdpa.h"
#include "rt/kernels/variants.h"
#include "tests/support/caches.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {

struct Query {
  uint32_t token, head;
};

inline std::vector<Query> all_queries(uint32_t live, uint32_t heads) {
  std::vector<Query> queries;
  for (uint32_t t = 0; t < live; ++t) {
    for (uint32_t h = 0; h < heads; ++h)
      queries.push_back({t, h});
  }
  return queries;
}

// Where a step stands: its first position, its tokens, and the mask [context][mask_stride].
struct Step {
  uint32_t input_pos, live;
  std::vector<float> mask = {};
};

// The score of position p for a query at position self, or -inf where it does not see it.
inline double reference_score(const SdpaArgs& args, double dot, const Step& step, uint32_t self,
                              uint32_t p) {
  const uint32_t end = args.full ? step.input_pos + step.live : self + 1;
  if (p >= end || p >= args.context) return -INFINITY;
  if (args.window != 0 && p < self && self - p >= args.window) return -INFINITY;
  double score = dot * static_cast<double>(args.scale);
  const auto cap = static_cast<double>(args.softcap);
  if (cap > 0) score = cap * std::tanh(score / cap);
  if (args.mask_stride == 0) return score;
  const size_t row = std::min(self, args.context - 1);
  return score + static_cast<double>(step.mask[row * args.mask_stride + p]);
}

// softmax(scores) v for each query, [queries][head_dim]; q is [tokens][heads * head_dim]. A query
// that sees nothing gives 0.
inline std::vector<double> reference_attention(const SdpaArgs& args, const Caches& caches,
                                               const std::vector<float>& q, const Step& step,
                                               const std::vector<Query>& queries) {
  const uint32_t dims = args.head_dim, group = args.heads / args.kv_heads;
  std::vector<double> out(queries.size() * dims, 0.0), scores;
  for (size_t i = 0; i < queries.size(); ++i) {
    const auto [token, head] = queries[i];
    const float* row = &q[(size_t{token} * args.heads + head) * dims];
    scores.assign(std::min(step.input_pos + step.live, args.context), 0.0);
    for (uint32_t p = 0; p < scores.size(); ++p) {
      const uint32_t self = step.input_pos + token;
      double dot = 0;
      scores[p] = reference_score(args, dot, step, self, p);
      if (std::isinf(scores[p])) continue;
      for (uint32_t d = 0; d < dims; ++d)
        dot += double{row[d]} * caches.value(caches.k, head / group, p, d);
      scores[p] = reference_score(args, dot, step, self, p);
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    if (std::isinf(top)) continue;
    double total = 0;
    for (uint32_t p = 0; p < scores.size(); ++p) {
      const double weight = std::exp(scores[p] - top);
      if (weight == 0) continue;
      total += weight;
      for (uint32_t d = 0; d < dims; ++d)
        out[i * dims + d] += weight * caches.value(caches.v, head / group, p, d);
    }
    for (uint32_t d = 0; d < dims; ++d)
      out[i * dims + d] /= total;
  }
  return out;
}

inline std::vector<float> pick_queries(const std::vector<float>& rows, const SdpaArgs& args,
                                       const std::vector<Query>& queries) {
  std::vector<float> out;
  for (const auto [token, head] : queries) {
    const auto from = rows.begin() + (ptrdiff_t{token} * args.heads + head) * args.head_dim;
    out.insert(out.end(), from, from + args.head_dim);
  }
  return out;
}

// Runs sdpa, and sdpa_combine where the context is split. Returns [live][heads * head_dim], empty
// where a run failed (the failure is reported).
inline std::vector<float> run_attention(Gpu* gpu, const Caps& caps, const SdpaArgs& args,
                                        const Caches& caches, const std::vector<float>& q,
                                        const Step& at) {
  const uint32_t columns = args.heads * args.head_dim;
  const uint32_t splits = args.splits == 0 ? sdpa_splits(caps, args) : args.splits;
  const SdpaPartialBytes bytes = sdpa_partial_bytes(args, splits);
  const auto step = step_words(at.input_pos, at.live);
  const auto mask = words_of(at.mask);
  auto q_rows = q;
  q_rows.resize(size_t{args.tokens} * columns, NAN);
  const auto q_words = activation_words(q_rows, args.tokens, columns);

  std::vector<uint32_t> out(size_t{args.tokens} * row_stride(columns), kPoison);
  std::vector<uint32_t> sums(bytes.sums / 4, kPoison), max_sum(bytes.max_sum / 4, kPoison);
  if (splits == 1) max_sum.assign(2, kPoison);
  KernelCall call;
  EXPECT_TRUE(call_sdpa(caps, args, &call, nullptr).ok());
  std::string problem =
      gpu->run(call, {reads(step), reads(q_words), reads(caches.k), reads(caches.v),
                      writes(splits == 1 ? out : sums), writes(max_sum),
                      reads(args.mask_stride == 0 ? q_words : mask)});
  if (splits == 1) {
    EXPECT_EQ(max_sum, std::vector<uint32_t>(2, kPoison));
  } else if (problem.empty()) {
    EXPECT_TRUE(call_sdpa_combine(caps, args, &call, nullptr).ok());
    problem = gpu->run(call, {reads(step), reads(sums), reads(max_sum), writes(out)});
  }
  EXPECT_EQ(problem, "");
  return problem.empty() ? live_rows(out, at.live, columns) : std::vector<float>();
}

// Smallest error that float32 sums of this kind cannot be blamed for: about 256 additions of
// relative error 6e-8 and an exp2 of a few units in the last place.
inline constexpr double kAttentionError = 1e-5;

// Of kernels whose factors are f16: each query, and each weight, is off by up to 2^-12.
inline constexpr double kMatrixAttentionError = 2e-3;

inline bool attends_on_matrices(const Caps& caps, const SdpaArgs& args) {
  KernelCall call;
  return call_sdpa(caps, args, &call, nullptr).ok() &&
         (kVariants[call.variant].needs & kCooperativeMatrix) != 0;
}

inline void expect_attention(Gpu* gpu, const Caps& caps, const SdpaArgs& args, const Caches& caches,
                             const std::vector<float>& q, const Step& step,
                             const std::vector<Query>& queries, double limit = kAttentionError) {
  const auto rows = run_attention(gpu, caps, args, caches, q, step);
  ASSERT_EQ(rows.size(), size_t{step.live} * args.heads * args.head_dim);
  const auto want = reference_attention(args, caches, q, step, queries);
  if (attends_on_matrices(caps, args)) limit *= kMatrixAttentionError / kAttentionError;
  // Over long contexts the values average out while the sums' rounding does not.
  const double long_context = std::max(1.0, (step.input_pos + step.live) / 2048.0);
  EXPECT_LT(relative_error(want, pick_queries(rows, args, queries)), limit * long_context)
      << "heads " << args.heads << "/" << args.kv_heads << " dim " << args.head_dim << " tokens "
      << step.live << " of " << args.tokens << " at " << step.input_pos << " context "
      << args.context << " splits " << args.splits << " window " << args.window << " cap "
      << args.softcap << " full " << args.full << " mask " << args.mask_stride << " cache "
      << kDTypeNames[static_cast<size_t>(args.cache)];
}

}  // namespace nbl::test
