// What could break: the shapes that language models have: deep K, wide N, many tokens, and a matrix
// near the 128 MiB limit of one binding. Outputs are sampled: a float64 reference of all is slow.
#include <gtest/gtest.h>

#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

struct Shape {
  uint32_t tokens, columns, rows, group_size;
  bool f32_scales = false;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "M" << s.tokens << " K" << s.columns << " N" << s.rows << " G" << s.group_size
       << (s.f32_scales ? " f32 scales" : "");
}

// Packed operands with random words: every nibble is valid, the reference decodes by the layout.
struct Packed {
  Shape shape;
  std::vector<uint32_t> values, scales;
  std::vector<float> x;

  Packed(const Shape& s, uint64_t stream) : shape(s) {
    Random random(stream);
    uint64_t state = random.below(0xffffffff) | 1;
    values.resize(size_t{q4_padded_rows(s.rows)} * s.columns / 8);
    for (uint32_t& word : values) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      word = static_cast<uint32_t>(state >> 32);
    }
    const Q4Format format{Layout::q4_t16k8, s.group_size, s.f32_scales};
    scales.resize(format.scale_bytes(s.rows, s.columns) / 4);
    for (uint32_t& word : scales) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      const uint32_t pair = static_cast<uint32_t>(state >> 32);
      // f16 in 2^-7 .. 2^-6: a fixed exponent, random mantissas
      word = 0x20002000u | (pair & 0x03ff03ffu);
      // f32 in the same range
      if (s.f32_scales) word = 0x3c000000u | (pair & 0x007fffffu);
    }
    x.resize(size_t{s.tokens} * s.columns);
    for (float& value : x) {  // uniform in -1 .. 1: normals take seconds for some of these shapes
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      value = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    }
  }

  double dot(uint32_t t, uint32_t n) const {
    const uint32_t groups = shape.columns / shape.group_size;
    double total = 0;
    for (uint32_t k = 0; k < shape.columns; ++k) {
      const uint32_t word = values[(size_t{n / 16} * (shape.columns / 8) + k / 8) * 16 + n % 16];
      const int nibble = (word >> (8 * (k % 4) + (k % 8 >= 4 ? 4 : 0))) & 15;
      const size_t at = (size_t{n / 16} * groups + k / shape.group_size) * 16 + n % 16;
      const uint32_t bits = scales[shape.f32_scales ? at : at / 2];
      const float scale = shape.f32_scales
                              ? std::bit_cast<float>(bits)
                              : f16_to_f32(static_cast<uint16_t>(bits >> (16 * (at % 2))));
      total += static_cast<double>(x[size_t{t} * shape.columns + k]) * (nibble - 8) *
               static_cast<double>(scale);
    }
    return total;
  }
};

void expect_sampled(Gpu* gpu, const Caps& caps, const Packed& data, uint32_t samples) {
  const Shape& s = data.shape;
  const LinearCase c{.tokens = s.tokens,
                     .columns = s.columns,
                     .rows = s.rows,
                     .group_size = s.group_size,
                     .f32_scales = s.f32_scales};
  KernelCall call;
  ASSERT_TRUE(call_linear(caps, args_of(c, 0, q4_padded_rows(s.rows)), &call, nullptr).ok());
  const uint32_t stride = row_stride(s.rows);
  std::vector<uint32_t> step(STEP_TOKENS + s.tokens, 0);
  step[STEP_TOKEN_COUNT] = s.tokens;
  const std::vector<uint32_t> x_words = activation_words(data.x, s.tokens, s.columns);
  std::vector<uint32_t> out(size_t{s.tokens} * stride, kPoison);
  const Binding x = reads(x_words);
  ASSERT_EQ(gpu->run(call, {reads(step), x, reads(data.values), reads(data.scales), writes(out), x,
                            x, x}),
            "");
  Random random(s.rows + s.tokens);
  std::vector<double> want;
  std::vector<float> got;
  for (uint32_t i = 0; i < samples; ++i) {
    const uint32_t t = i == 0 ? s.tokens - 1 : random.below(s.tokens);
    const uint32_t n = i == 0 ? s.rows - 1 : random.below(s.rows);
    want.push_back(data.dot(t, n));
    got.push_back(std::bit_cast<float>(out[size_t{t} * stride + n]));
  }
  EXPECT_LT(relative_error(want, got), tolerance_of(call));
  for (uint32_t t = 0; t < s.tokens; ++t) {
    for (uint32_t n = 0; n < s.rows; ++n) {
      ASSERT_NE(out[size_t{t} * stride + n], kPoison) << "row " << t << " column " << n;
    }
  }
}

class ModelShapes : public testing::TestWithParam<Shape> {};

TEST_P(ModelShapes, match_float64_where_sampled) {
  NBL_REQUIRE_GPU(gpu);
  const Packed data(GetParam(), GetParam().columns + GetParam().rows);
  for (const NamedCaps& named : caps_to_try(*gpu)) {
    SCOPED_TRACE(named.name);
    expect_sampled(gpu, named.caps, data, 200);
  }
}

// The published tables of the systems that this one is measured against: linears of two kinds of
// storage and two of activations, all float32 buffers here; then weights only.
INSTANTIATE_TEST_SUITE_P(Linear, ModelShapes,
                         testing::Values(Shape{4, 64, 32, 16}, Shape{4, 128, 64, 32},
                                         Shape{4, 256, 128, 64}, Shape{32, 64, 32, 16},
                                         Shape{32, 128, 64, 32}, Shape{32, 256, 128, 64},
                                         Shape{256, 128, 128, 32}, Shape{64, 64, 64, 64},
                                         Shape{64, 128, 64, 64}, Shape{64, 256, 128, 128}));
INSTANTIATE_TEST_SUITE_P(Weights, ModelShapes,
                         testing::Values(Shape{1, 128, 128, 32}, Shape{1, 256, 256, 32},
                                         Shape{1, 64, 128, 32}, Shape{1, 128, 256, 32},
                                         Shape{1, 256, 128, 32}, Shape{32, 128, 12, 32},
                                         Shape{32, 128, 20, 32}, Shape{31, 128, 128, 32},
                                         Shape{32, 128, 128, 32}, Shape{33, 128, 128, 32},
                                         Shape{128, 256, 256, 32}, Shape{256, 256, 256, 32}));
// Its own scales are f32.
INSTANTIATE_TEST_SUITE_P(Llama, ModelShapes,
                         testing::Values(Shape{1, 2048, 2048, 32, true}, Shape{1, 2048, 512, 32},
                                         Shape{1, 2048, 8192, 32}, Shape{1, 8192, 2048, 32, true},
                                         Shape{1, 1024, 3072, 64}, Shape{1, 3072, 1024, 32},
                                         Shape{96, 2048, 256, 32, true}, Shape{96, 2048, 256, 64},
                                         Shape{96, 2048, 256, 8, true}, Shape{70, 1024, 136, 32}));

// Many tokens or a deep K: N is cut from 2048 and more, which would take lavapipe longer than 3 s;
// a work-group computes 128 columns at most, so that what is left out repeats what is here.
class HeavyShapes : public testing::TestWithParam<Shape> {};

TEST_P(HeavyShapes, match_float64_where_sampled) {
  NBL_REQUIRE_GPU(gpu);
  const Packed data(GetParam(), 12);
  expect_sampled(gpu, gpu->caps(), data, 200);
  expect_sampled(gpu, gpu->floor_of_caps(), data, 200);
}

INSTANTIATE_TEST_SUITE_P(Llama, HeavyShapes,
                         testing::Values(Shape{4096, 2048, 64, 32, true}, Shape{8192, 2048, 32, 32},
                                         Shape{128, 2048, 264, 32}, Shape{128, 8192, 136, 32, true},
                                         Shape{130, 4096, 264, 32}, Shape{128, 2048, 256, 128},
                                         Shape{1024, 4096, 64, 128}));

// Shapes of thousands of tokens, on the device's own choice only.
TEST(ManyTokens, match_float64_where_sampled) {
  NBL_REQUIRE_GPU(gpu);
  for (const Shape& shape : {Shape{130, 4096, 2056, 32}, Shape{1024, 2048, 512, 32}}) {
    expect_sampled(gpu, gpu->caps(), Packed(shape, 9), 300);
  }
}

TEST(LmHead, of_128256_rows_matches_float64_where_sampled) {
  NBL_REQUIRE_GPU(gpu);
  const Packed data({1, 2048, 128256, 32}, 10);
  const std::vector<NamedCaps> all = caps_to_try(*gpu);
  expect_sampled(gpu, all[0].caps, data, 300);  // the device's own choice
  expect_sampled(gpu, all[1].caps, data, 300);  // K split over lanes
}

}  // namespace
}  // namespace nbl::test
