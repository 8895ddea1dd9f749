// Attention in float64 and a runner for the sdpa kernels, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "rt/kernels/sdpa.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {

inline constexpr uint16_t kHalfNan = 0x7e01;

// Keys and values f16 [kv_heads][context][head_dim], everything NaN until written.
struct Caches {
  Caches(uint32_t kv_heads, uint32_t context_in, uint32_t head_dim_in)
      : context(context_in), head_dim(head_dim_in) {
    k.assign(size_t{kv_heads} * context * head_dim / 2, uint32_t{kHalfNan} * 0x10001u);
    v = k;
  }
  size_t index(uint32_t kv_head, uint32_t position, uint32_t dim) const {
    return (size_t{kv_head} * context + position) * head_dim + dim;
  }
  uint32_t context, head_dim;
  std::vector<uint32_t> k, v;
};

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

// softmax(scale * q k^T) v for each query, [queries][head_dim]; q is [tokens][heads * head_dim].
inline std::vector<double> reference_attention(const SdpaArgs& args, const Caches& caches,
                                               const std::vector<float>& q, uint32_t input_pos,
                                               const std::vector<Query>& queries) {
  const uint32_t dims = args.head_dim, group = args.heads / args.kv_heads;
  std::vector<double> out(queries.size() * dims, 0.0), scores;
  for (size_t i = 0; i < queries.size(); ++i) {
    const auto [token, head] = queries[i];
    const float* row = &q[(size_t{token} * args.heads + head) * dims];
    scores.assign(input_pos + token + 1, 0.0);
    for (uint32_t p = 0; p < scores.size(); ++p) {
      const size_t at = caches.index(head / group, p, 0);
      for (uint32_t d = 0; d < dims; ++d) {
        scores[p] += double{row[d]} * half_value(half_at(caches.k, at + d));
      }
      scores[p] *= args.scale;
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (uint32_t p = 0; p < scores.size(); ++p) {
      const double weight = std::exp(scores[p] - top);
      const size_t at = caches.index(head / group, p, 0);
      total += weight;
      for (uint32_t d = 0; d < dims; ++d) {
        out[i * dims + d] += weight * half_value(half_at(caches.v, at + d));
      }
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
                                        uint32_t input_pos, uint32_t live) {
  const uint32_t columns = args.heads * args.head_dim;
  const uint32_t splits = args.splits == 0 ? sdpa_splits(caps, args) : args.splits;
  const SdpaPartialBytes bytes = sdpa_partial_bytes(args, splits);
  const auto step = step_words(input_pos, live);
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
                      writes(splits == 1 ? out : sums), writes(max_sum)});
  if (splits == 1) {
    EXPECT_EQ(max_sum, std::vector<uint32_t>(2, kPoison));
  } else if (problem.empty()) {
    EXPECT_TRUE(call_sdpa_combine(caps, args, &call, nullptr).ok());
    problem = gpu->run(call, {reads(step), reads(sums), reads(max_sum), writes(out)});
  }
  EXPECT_EQ(problem, "");
  return problem.empty() ? live_rows(out, live, columns) : std::vector<float>();
}

// Smallest error that float32 sums of this kind cannot be blamed for: about 256 additions of
// relative error 6e-8 and an exp2 of a few units in the last place.
inline constexpr double kAttentionError = 1e-5;

inline void expect_attention(Gpu* gpu, const Caps& caps, const SdpaArgs& args, const Caches& caches,
                             const std::vector<float>& q, uint32_t input_pos, uint32_t live,
                             const std::vector<Query>& queries, double limit = kAttentionError) {
  const auto rows = run_attention(gpu, caps, args, caches, q, input_pos, live);
  ASSERT_EQ(rows.size(), size_t{live} * args.heads * args.head_dim);
  const auto want = reference_attention(args, caches, q, input_pos, queries);
  // Over long contexts the values average out while the sums' rounding does not.
  const double long_context = std::max(1.0, (input_pos + live) / 2048.0);
  EXPECT_LT(relative_error(want, pick_queries(rows, args, queries)), limit * long_context)
      << "heads " << args.heads << "/" << args.kv_heads << " dim " << args.head_dim << " tokens "
      << live << " of " << args.tokens << " at " << input_pos << " context " << args.context
      << " splits " << args.splits;
}

}  // namespace nbl::test
