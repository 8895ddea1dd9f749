// What could break: where q, k and v begin in a row of qkv, rotating what must not be rotated,
// norms over parts of two heads or with the other's weights, and everything that could break in
// rope and update_cache.
#include "rt/kernels/rope_update_cache.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/gpu.h"
#include "tests/support/q4.h"
#include "tests/support/rope_table.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

constexpr float kEpsilon = 0.01f;

struct Case {
  uint32_t heads, kv_heads, head_dim, rotary_dim, context, tokens, live, input_pos;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "H" << c.heads << "/" << c.kv_heads << " D" << c.head_dim << " R" << c.rotary_dim << " T"
       << c.live << "/" << c.tokens << " at " << c.input_pos;
}

class RopeUpdateCache : public testing::TestWithParam<std::tuple<Case, bool, bool>> {
 protected:
  void SetUp() override {
    std::tie(c_, half_, norm_) = GetParam();
    Random random(c_.heads * 100 + c_.input_pos);
    x_ = random.normals(size_t{c_.tokens} * columns());
    weights_ = random.normals(size_t{2} * c_.head_dim);
    rotated_.assign(x_.begin(), x_.end());
    for (uint32_t t = 0; t < c_.live; ++t) {
      for (uint32_t h = 0; h < c_.heads + c_.kv_heads; ++h) {
        double* head = &rotated_[size_t{t} * columns() + h * c_.head_dim];
        if (norm_) norm_head(&weights_[h < c_.heads ? 0 : c_.head_dim], head);
        rotate_head(head, c_.rotary_dim, half_, c_.input_pos + t, 1e4);
      }
    }
  }
  void norm_head(const float* weights, double* head) const {
    double squares = 0;
    for (uint32_t i = 0; i < c_.head_dim; ++i)
      squares += head[i] * head[i];
    for (uint32_t i = 0; i < c_.head_dim; ++i) {
      head[i] *=
          static_cast<double>(weights[i]) / std::sqrt(squares / c_.head_dim + double{kEpsilon});
    }
  }
  uint32_t columns() const { return (c_.heads + 2 * c_.kv_heads) * c_.head_dim; }

  void run(Gpu* gpu) {
    q_.assign(size_t{c_.tokens} * row_stride(c_.heads * c_.head_dim), kPoison);
    k_.assign(size_t{c_.kv_heads} * c_.context * c_.head_dim / 2, kPoison);
    v_ = k_;
    RopeUpdateCacheArgs args{c_.tokens,     c_.heads, c_.kv_heads, c_.head_dim,
                             c_.rotary_dim, half_,    c_.context};
    args.norm = norm_;
    args.eps = kEpsilon;
    const auto table = words_of(rope_table(c_.context, c_.rotary_dim, 1e4));
    KernelCall call;
    ASSERT_TRUE(call_rope_update_cache(gpu->caps(), args, &call, nullptr).ok());
    ASSERT_EQ(gpu->run(call, {reads(step_words(c_.input_pos, c_.live)),
                              reads(activation_words(x_, c_.tokens, columns(), NAN)), reads(table),
                              writes(q_), writes(k_), writes(v_), reads(words_of(weights_))}),
              "");
  }

  // Compares the live rows of a cache with columns `first` on of qkv; all others must be poison.
  void expect_cache(const std::vector<uint32_t>& cache, uint32_t first, double limit) const {
    const std::vector<uint32_t> poison(1, kPoison);
    std::vector<double> want;
    std::vector<float> got;
    for (uint32_t h = 0; h < c_.kv_heads; ++h) {
      for (uint32_t p = 0; p < c_.context; ++p) {
        const bool live = p >= c_.input_pos && p < c_.input_pos + c_.live;
        for (uint32_t d = 0; d < c_.head_dim; ++d) {
          const size_t at = (size_t{h} * c_.context + p) * c_.head_dim + d;
          if (live) {
            const size_t row = size_t{p - c_.input_pos} * columns();
            want.push_back(rotated_[row + first + h * c_.head_dim + d]);
            got.push_back(half_value(half_at(cache, at)));
          } else {
            ASSERT_EQ(half_at(cache, at), half_at(poison, d % 2)) << "head " << h << " row " << p;
          }
        }
      }
    }
    EXPECT_LT(relative_error(want, got), limit);
  }

  Case c_{};
  bool half_ = false;
  bool norm_ = false;
  std::vector<float> x_;
  std::vector<float> weights_;  // of the norms
  std::vector<double> rotated_;
  std::vector<uint32_t> q_, k_, v_;
};

TEST_P(RopeUpdateCache, rotates_queries_and_keys_and_copies_values) {
  NBL_REQUIRE_GPU(gpu);
  run(gpu);
  const uint32_t q_columns = c_.heads * c_.head_dim;
  std::vector<double> want;
  for (uint32_t t = 0; t < c_.live; ++t) {
    const auto row = rotated_.begin() + size_t{t} * columns();
    want.insert(want.end(), row, row + q_columns);
  }
  EXPECT_LT(relative_error(want, live_rows(q_, c_.live, q_columns)), norm_ ? 6e-7 : 3e-7);
  // Rounding to f16 is off by at most 2^-11 of a value.
  expect_cache(k_, q_columns, 1.0 / 2048);
  expect_cache(v_, q_columns + c_.kv_heads * c_.head_dim, 1.0 / 2048);
}

// v is not computed with, so that its halves are exact.
TEST_P(RopeUpdateCache, values_are_rounded_bit_by_bit) {
  NBL_REQUIRE_GPU(gpu);
  run(gpu);
  const uint32_t first = (c_.heads + c_.kv_heads) * c_.head_dim;
  for (uint32_t t = 0; t < c_.live; ++t) {
    for (uint32_t i = 0; i < c_.kv_heads * c_.head_dim; ++i) {
      const size_t row = size_t{i / c_.head_dim} * c_.context + c_.input_pos + t;
      ASSERT_EQ(half_at(v_, row * c_.head_dim + i % c_.head_dim),
                f32_to_f16(x_[size_t{t} * columns() + first + i]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RopeUpdateCache,
                         testing::Combine(testing::Values(Case{1, 1, 4, 4, 1, 1, 1, 0},
                                                          Case{9, 3, 64, 64, 130, 17, 17, 63},
                                                          Case{4, 4, 12, 6, 20, 5, 3, 17},
                                                          Case{7, 1, 20, 20, 70, 3, 2, 64},
                                                          Case{8, 2, 80, 32, 101, 1, 1, 100},
                                                          Case{6, 3, 128, 128, 65, 64, 64, 1},
                                                          Case{2, 1, 256, 64, 700, 2, 2, 655}),
                                          testing::Bool(), testing::Bool()));

TEST(RopeUpdateCacheBounds, tokens_past_the_context_are_dropped) {
  NBL_REQUIRE_GPU(gpu);
  const RopeUpdateCacheArgs args{4, 2, 1, 8, 8, true, 6};
  Random random(2);
  const auto x = activation_words(random.normals(4 * 32), 4, 32);
  std::vector<uint32_t> q(4 * 32, kPoison), k(6 * 4, kPoison), v = k;
  KernelCall call;
  ASSERT_TRUE(call_rope_update_cache(gpu->caps(), args, &call, nullptr).ok());
  ASSERT_EQ(
      gpu->run(call, {reads(step_words(4, 4)), reads(x), reads(words_of(rope_table(6, 8, 1e4))),
                      writes(q), writes(k), writes(v), reads(x)}),
      "");
  for (uint32_t i = 0; i < 16; ++i) {
    EXPECT_EQ(k[i], kPoison);
    EXPECT_EQ(v[i], kPoison);
  }
  for (uint32_t i = 16; i < 24; ++i)
    EXPECT_NE(v[i], kPoison);
  live_rows(q, 2, 16);
}

}  // namespace
}  // namespace nbl::test
