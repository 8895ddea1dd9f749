// What could break: the causal edge, positions past the live context leaking in (they hold NaN
// here), grouped heads, splits that have no block, odd head sizes, exponents that overflow.
#include "rt/kernels/sdpa.h"

#include <gtest/gtest.h>

#include "rt/kernels/variants.h"
#include "tests/support/attention.h"

namespace nbl::test {
namespace {

struct Shape {
  uint32_t heads, kv_heads, head_dim;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "H" << s.heads << "/" << s.kv_heads << " D" << s.head_dim;
}

void fill_random(Random& random, const Shape& shape, uint32_t positions, Caches* caches) {
  for (uint32_t h = 0; h < shape.kv_heads; ++h) {
    for (uint32_t p = 0; p < positions; ++p) {
      caches->set_row(&caches->k, h, p, random.normals(shape.head_dim));
      caches->set_row(&caches->v, h, p, random.normals(shape.head_dim));
    }
  }
}

void expect_random(Gpu* gpu, const Caps& caps, const Shape& shape, uint32_t tokens, uint32_t live,
                   uint32_t input_pos, uint32_t context, uint32_t splits,
                   DType cache = DType::f16) {
  Random random(shape.heads * 1000003 + shape.head_dim * 1009 + input_pos * 31 + live);
  const SdpaArgs args{tokens,         shape.heads,
                      shape.kv_heads, shape.head_dim,
                      context,        1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
                      splits,         cache};
  Caches caches(shape.kv_heads, context, shape.head_dim, cache);
  fill_random(random, shape, input_pos + live, &caches);
  const auto q = random.normals(size_t{live} * shape.heads * shape.head_dim);
  expect_attention(gpu, caps, args, caches, q, {input_pos, live}, all_queries(live, shape.heads));
}

class Sdpa : public testing::TestWithParam<Shape> {};

// A recording for 17 tokens, as many of them live as the step says, and one for a single token.
TEST_P(Sdpa, attends_to_the_past_and_to_nothing_else) {
  NBL_REQUIRE_GPU(gpu);
  const Caps caps = gpu->caps(), floor = gpu->floor_of_caps();
  for (const uint32_t live : {1u, 2u, 3u, 5u, 17u}) {
    for (const uint32_t input_pos : {0u, 1u, 63u, 64u, 65u, 100u}) {
      const uint32_t context = input_pos + live + (live % 2 == 0 ? 0 : 13);
      expect_random(gpu, caps, GetParam(), 17, live, input_pos, context, live % 3 + 1);
    }
  }
  for (const uint32_t input_pos : {0u, 1u, 63u, 64u, 65u, 100u, 300u}) {
    expect_random(gpu, floor, GetParam(), 1, 1, input_pos, 333, 1);
    expect_random(gpu, floor, GetParam(), 1, 1, input_pos, 333, 5);
    expect_random(gpu, floor, GetParam(), 1, 1, input_pos, input_pos + 1, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Sdpa,
                         testing::Values(Shape{8, 4, 4}, Shape{6, 2, 8}, Shape{8, 1, 12},
                                         Shape{6, 3, 20}, Shape{4, 1, 32}, Shape{9, 3, 64},
                                         Shape{5, 5, 80}, Shape{7, 1, 96}, Shape{10, 2, 128},
                                         Shape{3, 1, 252}, Shape{4, 2, 256}));

struct Sharing {
  Shape shape;
  DType cache;
};

void PrintTo(const Sharing& s, std::ostream* out) {
  PrintTo(s.shape, out);
  *out << " " << kDTypeNames[static_cast<size_t>(s.cache)];
}

class SdpaCacheTypes : public testing::TestWithParam<Sharing> {};

// Every number of queries to a kv head up to 8, 32 of them, and head sizes that are whole words
// only.
TEST_P(SdpaCacheTypes, attend_alike) {
  NBL_REQUIRE_GPU(gpu);
  Caps wide = gpu->floor_of_caps();
  wide.kind = DeviceKind::discrete;
  const auto& [shape, cache] = GetParam();
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps()}) {
    expect_random(gpu, caps, shape, 1, 1, 130, 150, 1, cache);
    expect_random(gpu, caps, shape, 1, 1, 130, 131, 3, cache);
  }
  expect_random(gpu, wide, shape, 5, 5, 62, 67, 2, cache);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SdpaCacheTypes,
    testing::Values(Sharing{{8, 8, 64}, DType::f32}, Sharing{{8, 4, 32}, DType::i8},
                    Sharing{{6, 2, 80}, DType::f32}, Sharing{{8, 2, 96}, DType::i8},
                    Sharing{{10, 2, 128}, DType::f32}, Sharing{{6, 1, 256}, DType::i8},
                    Sharing{{14, 2, 64}, DType::i8}, Sharing{{8, 1, 128}, DType::i8},
                    Sharing{{32, 1, 64}, DType::f16}, Sharing{{32, 1, 32}, DType::i8},
                    Sharing{{32, 1, 80}, DType::f32}, Sharing{{5, 1, 4}, DType::i8},
                    Sharing{{3, 1, 12}, DType::f32}, Sharing{{7, 7, 20}, DType::i8},
                    Sharing{{6, 2, 36}, DType::i8}, Sharing{{4, 2, 68}, DType::f32},
                    Sharing{{6, 3, 100}, DType::i8}, Sharing{{2, 1, 252}, DType::f32},
                    Sharing{{2, 1, 252}, DType::i8}, Sharing{{7, 1, 68}, DType::f16}));

TEST(SdpaTiles, of_every_kind_of_device_agree_with_the_reference) {
  NBL_REQUIRE_GPU(gpu);
  Caps wide = gpu->floor_of_caps();
  wide.kind = DeviceKind::discrete;
  for (const Caps& caps : {gpu->caps(), gpu->floor_of_caps(), wide}) {
    for (const uint32_t live : {17u, 64u}) {
      expect_random(gpu, caps, {9, 3, 64}, 64, live, 100, 200, 0);
      expect_random(gpu, caps, {9, 3, 64}, 64, live, 100, 164, 4);
    }
    expect_random(gpu, caps, {12, 4, 20}, 64, 33, 31, 100, 0);
  }
}

TEST(SdpaExponents, neither_overflow_nor_vanish) {
  NBL_REQUIRE_GPU(gpu);
  Random random(5);
  const Shape shape{4, 2, 32};
  for (const float size : {1000.0f, -1000.0f, 30000.0f, -30000.0f}) {
    const SdpaArgs args{3, shape.heads, shape.kv_heads, shape.head_dim, 150, 0.25f, 2};
    Caches caches(shape.kv_heads, args.context, shape.head_dim);
    fill_random(random, shape, 143, &caches);
    for (uint32_t h = 0; h < shape.kv_heads; ++h) {
      for (uint32_t p = 0; p < 143; ++p)
        set_half(caches.k, caches.index(h, p, 0), 0x3c00);
    }
    // Every score is about size * 0.25, which softmax must not see. Scores carry an absolute error
    // of about size * 0.25 * 2^-23, and so do the logarithms of the weights.
    auto q = random.normals(3 * shape.heads * shape.head_dim);
    for (size_t i = 0; i < q.size(); i += shape.head_dim)
      q[i] = size;
    expect_attention(gpu, gpu->caps(), args, caches, q, {140, 3}, all_queries(3, shape.heads),
                     kAttentionError + std::fabs(size) * 1e-6);
  }
}

TEST(SdpaRecording, serves_every_position_of_the_context) {
  NBL_REQUIRE_GPU(gpu);
  for (uint32_t input_pos = 0; input_pos < 200; input_pos += 7) {
    expect_random(gpu, gpu->caps(), {6, 2, 8}, 1, 1, input_pos, 199, 3);
  }
}

TEST(SdpaSplits, fill_wide_devices_in_decode_only) {
  Caps caps = floor_caps();
  caps.lanes = 8192;
  const SdpaArgs decode{1, 32, 8, 64, 4096, 0.125f};
  EXPECT_EQ(sdpa_splits(caps, decode), 16u);  // 8 kv heads x 1 tile of 4 queries x 64 lanes x 16
  SdpaArgs prefill = decode;
  prefill.tokens = 128;
  EXPECT_EQ(sdpa_splits(caps, prefill), 1u);
  SdpaArgs short_context = decode;
  short_context.context = 100;
  EXPECT_EQ(sdpa_splits(caps, short_context), 1u);
  caps.lanes = 0;
  EXPECT_EQ(sdpa_splits(caps, decode), 1u);
  caps.lanes = 1u << 30;
  EXPECT_LE(sdpa_splits(caps, decode), 64u);
  caps.features = kScalarLoads;
  EXPECT_EQ(sdpa_splits(caps, decode), 1u);
}

TEST(SdpaPartials, take_nothing_without_splits) {
  const SdpaArgs args{3, 4, 2, 64, 4096, 0.125f};
  EXPECT_EQ(sdpa_partial_bytes(args, 1).sums, 0u);
  EXPECT_EQ(sdpa_partial_bytes(args, 1).max_sum, 0u);
  EXPECT_EQ(sdpa_partial_bytes(args, 5).sums, 5u * 3 * 4 * 64 * 4);
  EXPECT_EQ(sdpa_partial_bytes(args, 5).max_sum, 5u * 3 * 4 * 2 * 4);
}

TEST(SdpaLimits, too_small_a_device_is_refused_by_name) {
  Caps caps = floor_caps();
  caps.max_invocations = 32;
  const SdpaArgs args{1, 4, 2, 64, 4096, 0.125f};
  Error error;
  KernelCall call;
  call.variant = 77;
  EXPECT_EQ(call_sdpa(caps, args, &call, &error).code(), Code::device_limit);
  EXPECT_EQ(call.variant, 77);
  EXPECT_STREQ(error.name, "sdpa_wide");
}

TEST(SdpaSplits, follow_the_window) {
  Caps caps = floor_caps();
  caps.lanes = 1u << 30;
  SdpaArgs args{1, 32, 8, 64, 65536, 0.125f};
  EXPECT_EQ(sdpa_splits(caps, args), 64u);
  args.window = 512;
  EXPECT_EQ(sdpa_splits(caps, args), 5u);
  args.window = 1;
  EXPECT_EQ(sdpa_splits(caps, args), 1u);
}

TEST(SdpaGrid, folds_where_an_axis_cannot_hold_it) {
  const SdpaArgs args{65535, 32, 8, 64, 65536, 0.125f, 4};
  KernelCall call;
  ASSERT_TRUE(call_sdpa(floor_caps(), args, &call, nullptr).ok());
  const uint64_t wanted = uint64_t{65535} * 8 * 4;
  EXPECT_GE(uint64_t{call.grid[0]} * call.grid[1], wanted);
  EXPECT_LE(call.grid[0], 65535u);
  EXPECT_LE(call.grid[1], 65535u);
}

}  // namespace
}  // namespace nbl::test
