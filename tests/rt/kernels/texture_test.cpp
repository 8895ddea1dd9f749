// What could break: a kernel that reads its weights from an image takes another texel than the
// buffer's word, at the end of an image's row, past the window's first texel, or in a window that
// does not begin at the weight's first row. Every result must have the bits of the buffer's
// variant.
#include "spirv/texture.h"

#include <gtest/gtest.h>

#include "rt/kernels/embedding.h"
#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

// Texels in front of the window: none, an odd number, and some that let every row be cut.
constexpr uint32_t kFirstTexels[] = {0, 7, (1u << TEXTURE_WIDTH_LOG2) - 3,
                                     (5u << TEXTURE_WIDTH_LOG2) + 400};

// A device that splits K over lanes, with and without subgroups, and one that does not. None takes
// blocks or matrices, which only buffers have and which add up in another order.
std::vector<NamedCaps> caps_to_compare(const Gpu& gpu) {
  Caps shuffle = gpu.caps();
  shuffle.features &= ~uint32_t{kScalarLoads};
  shuffle.lanes = std::min(shuffle.lanes, 1u << 13);
  Caps plain = shuffle;
  plain.features = kNoFeatures;
  plain.lanes = 1u << 13;
  Caps tile = plain;
  tile.features = kScalarLoads;
  std::vector<NamedCaps> all = {{"shuffle", shuffle}, {"plain", plain}, {"tile", tile}};
  for (NamedCaps& named : all)
    named.caps.features |= kTextureWeights;
  return all;
}

void run_call(Gpu* gpu, const LinearCase& c, const LinearData& data, uint32_t begin, uint32_t count,
              const KernelCall& call, std::vector<uint32_t>* out) {
  const size_t value_words = size_t{count} * data.weight.padded_columns / 8;
  const size_t scale_words = size_t{count} * (data.weight.padded_columns / c.group_size) / 2;
  const auto values = data.weight.values_from(begin).first(value_words);
  const std::vector<uint32_t> norm = words_of(data.norm), bias = words_of(data.bias);
  const Binding x = reads(data.x_words);
  const bool image = kVariants[call.variant].images != 0;
  ASSERT_EQ(gpu->run(call, {reads(data.step), x, image ? texels(values) : reads(values),
                            reads(data.weight.scales_from(begin).first(scale_words)), writes(*out),
                            c.norm ? reads(norm) : x, c.bias ? reads(bias) : x,
                            c.residual ? reads(data.residual_words) : x}),
            "");
}

// All windows of a case; `first` is where the image's windows begin.
std::vector<uint32_t> run_windows(Gpu* gpu, const Caps& caps, const LinearCase& c,
                                  const LinearData& data, bool texture, uint32_t first) {
  const uint32_t out_rows = c.last_row ? 1 : c.tokens;
  std::vector<uint32_t> out(size_t{out_rows} * row_stride(LinearData::out_columns(c)), kPoison);
  const uint32_t padded = data.weight.padded_rows;
  const uint32_t window = c.window == 0 ? padded : c.window;
  for (uint32_t begin = 0; begin < padded; begin += window) {
    const uint32_t count = std::min(window, padded - begin);
    LinearArgs args = args_of(c, begin, count);
    args.texture = texture;
    args.norm = c.norm && linear_fuses_norm(caps, args);
    KernelCall call;
    EXPECT_TRUE(call_linear(caps, args, &call, nullptr).ok());
    EXPECT_EQ(kVariants[call.variant].images, texture ? 1u << 2 : 0u);
    if (texture) set_first_texel(&call, first);
    run_call(gpu, c, data, begin, count, call, &out);
  }
  return out;
}

class TextureLinear : public testing::TestWithParam<LinearCase> {};

TEST_P(TextureLinear, has_the_bits_of_the_buffer_variant) {
  NBL_REQUIRE_GPU(gpu);
  const LinearCase& c = GetParam();
  Random random(c.tokens * 7919 + c.columns * 31 + c.rows);
  const LinearData data(random, c);
  uint32_t turn = c.rows;
  for (const NamedCaps& named : caps_to_compare(*gpu)) {
    SCOPED_TRACE(named.name);
    Caps buffer = named.caps;
    buffer.features &= ~(kTextureWeights | kCooperativeMatrix);  // matrices read no images
    const std::vector<uint32_t> want = run_windows(gpu, buffer, c, data, false, 0);
    const uint32_t first = kFirstTexels[turn++ % std::size(kFirstTexels)];
    const std::vector<uint32_t> got = run_windows(gpu, named.caps, c, data, true, first);
    EXPECT_EQ(got, want) << "first texel " << first;
  }
}

// A tile's row of K is K/8 * 4 texels: 2048 columns are a whole row of an image, 2080 one block
// more.
INSTANTIATE_TEST_SUITE_P(
    Shapes, TextureLinear,
    testing::Values(LinearCase{.tokens = 1, .columns = 1, .rows = 1, .group_size = 32},
                    LinearCase{.tokens = 1, .columns = 31, .rows = 33, .group_size = 32},
                    LinearCase{.tokens = 5, .columns = 97, .rows = 31, .group_size = 64},
                    LinearCase{.tokens = 4, .columns = 172, .rows = 97, .group_size = 128},
                    LinearCase{.tokens = 17, .columns = 288, .rows = 65, .group_size = 32},
                    LinearCase{.tokens = 1, .columns = 2016, .rows = 33, .group_size = 32},
                    LinearCase{.tokens = 1, .columns = 2048, .rows = 47, .group_size = 64},
                    LinearCase{.tokens = 3, .columns = 2049, .rows = 16, .group_size = 32},
                    LinearCase{.tokens = 1, .columns = 4099, .rows = 81, .group_size = 256}));

INSTANTIATE_TEST_SUITE_P(
    Fused, TextureLinear,
    testing::Values(
        LinearCase{.tokens = 1, .columns = 96, .rows = 97, .group_size = 32, .norm = true},
        LinearCase{.tokens = 1,
                   .columns = 288,
                   .rows = 192,
                   .group_size = 64,
                   .norm = true,
                   .residual = true,
                   .swiglu = true},
        LinearCase{.tokens = 6,
                   .columns = 100,
                   .rows = 130,
                   .group_size = 32,
                   .live = 3,
                   .bias = true,
                   .residual = true},
        LinearCase{.tokens = 64,
                   .columns = 288,
                   .rows = 130,
                   .group_size = 32,
                   .live = 23,
                   .norm = true,
                   .last_row = true}));

INSTANTIATE_TEST_SUITE_P(Windows, TextureLinear,
                         testing::Values(LinearCase{.tokens = 1,
                                                    .columns = 97,
                                                    .rows = 200,
                                                    .group_size = 32,
                                                    .bias = true,
                                                    .residual = true,
                                                    .window = 32},
                                         LinearCase{.tokens = 9,
                                                    .columns = 1097,
                                                    .rows = 200,
                                                    .group_size = 128,
                                                    .live = 8,
                                                    .window = 96}));

// Wide GPUs have kernels that read buffers only: a weight in an image must not reach them.
TEST(TextureChoice, never_takes_a_kernel_that_reads_buffers) {
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    Caps caps = floor_caps();
    caps.max_invocations = caps.max_workgroup_x = 128u << random.below(4);
    caps.max_shared_bytes = 16384u << random.below(3);
    caps.lanes = 1u << (6 + random.below(13));
    caps.features = random.below(1u << 12) | kTextureWeights;
    const uint32_t rows = 32 * (1 + random.below(2000));
    const LinearCase c{.tokens = 1 + random.below(600),
                       .columns = 1 + random.below(5000),
                       .rows = rows,
                       .group_size = 32,
                       .last_row = random.below(3) == 0};
    LinearArgs args = args_of(c, 0, rows);
    args.texture = true;
    KernelCall call;
    ASSERT_TRUE(call_linear(caps, args, &call, nullptr).ok());
    EXPECT_EQ(kVariants[call.variant].images, 1u << 2) << kVariants[call.variant].name;
    EXPECT_EQ(call.push_words * 4u, kVariants[call.variant].push_bytes);
    EXPECT_EQ(linear_few_tokens(caps, args), 0u);
    args.texture = false;
    ASSERT_TRUE(call_linear(caps, args, &call, nullptr).ok());
    EXPECT_EQ(kVariants[call.variant].images, 0u) << kVariants[call.variant].name;
  }
}

TEST(TextureChoice, is_refused_without_the_feature) {
  Error error;
  KernelCall call;
  const EmbeddingArgs args{.tokens = 1,
                           .rows = 32,
                           .columns = 32,
                           .format = {.group_size = 32},
                           .row_begin = 0,
                           .row_count = 32,
                           .texture = true};
  EXPECT_EQ(call_embedding(floor_caps(), args, &call, &error).code(), Code::device_limit);
  EXPECT_STREQ(error.name, "embedding_texture");
}

struct GatherCase {
  uint32_t rows, columns, group_size, row_begin, row_count;
};

class TextureEmbedding : public testing::TestWithParam<GatherCase> {};

TEST_P(TextureEmbedding, has_the_bits_of_the_buffer_variant) {
  NBL_REQUIRE_GPU(gpu);
  const GatherCase& c = GetParam();
  Random random(c.rows * 31 + c.columns);
  const Q4Matrix weight = random_q4(random, c.rows, c.columns, c.group_size);
  constexpr uint32_t kTokens = 9;
  std::vector<uint32_t> step(STEP_TOKENS + kTokens, 0);
  step[STEP_TOKEN_COUNT] = kTokens;
  for (uint32_t t = 0; t < kTokens; ++t)
    step[STEP_TOKENS + t] = random.below(c.rows);
  step[STEP_TOKENS] = c.rows - 1;
  step[STEP_TOKENS + 1] = c.row_begin;
  const uint32_t count = c.row_count == 0 ? weight.padded_rows : c.row_count;
  const auto values =
      weight.values_from(c.row_begin).first(size_t{count} * (weight.padded_columns / 8));
  const auto scales = weight.scales_from(c.row_begin)
                          .first(size_t{count} * (weight.padded_columns / c.group_size) / 2);
  Caps caps = gpu->floor_of_caps();
  caps.features |= kTextureWeights;
  EmbeddingArgs args{.tokens = kTokens,
                     .rows = c.rows,
                     .columns = c.columns,
                     .format = {.group_size = c.group_size},
                     .row_begin = c.row_begin,
                     .row_count = count};
  KernelCall call;
  ASSERT_TRUE(call_embedding(caps, args, &call, nullptr).ok());
  std::vector<uint32_t> want(size_t{kTokens} * row_stride(c.columns), kPoison);
  ASSERT_EQ(gpu->run(call, {reads(step), reads(values), reads(scales), writes(want)}), "");
  args.texture = true;
  ASSERT_TRUE(call_embedding(caps, args, &call, nullptr).ok());
  for (const uint32_t first : kFirstTexels) {
    set_first_texel(&call, first);
    std::vector<uint32_t> got(want.size(), kPoison);
    ASSERT_EQ(gpu->run(call, {reads(step), texels(values), reads(scales), writes(got)}), "");
    EXPECT_EQ(got, want) << "first texel " << first;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, TextureEmbedding,
                         testing::Values(GatherCase{1, 1, 32, 0, 0}, GatherCase{7, 31, 32, 0, 0},
                                         GatherCase{33, 97, 64, 0, 0},
                                         GatherCase{97, 172, 128, 32, 64},
                                         GatherCase{50, 2048, 64, 0, 0},
                                         GatherCase{61, 2081, 256, 32, 32},
                                         GatherCase{512, 577, 32, 128, 256}));

// The harness itself: what it is not told is an image must not pass as one.
TEST(TextureHarness, tells_images_from_buffers) {
  NBL_REQUIRE_GPU(gpu);
  Random random(8);
  const Q4Matrix weight = random_q4(random, 32, 32, 32);
  std::vector<uint32_t> step(STEP_TOKENS + 1, 0), out(32, kPoison);
  Caps caps = gpu->floor_of_caps();
  caps.features |= kTextureWeights;
  KernelCall call;
  const EmbeddingArgs args{.tokens = 1,
                           .rows = 32,
                           .columns = 32,
                           .format = {.group_size = 32},
                           .row_begin = 0,
                           .row_count = 32,
                           .texture = true};
  ASSERT_TRUE(call_embedding(caps, args, &call, nullptr).ok());
  EXPECT_EQ(gpu->run(call, {reads(step), reads(weight.value_words), reads(weight.scale_words),
                            writes(out)}),
            "binding 1 is of another kind");
}

}  // namespace
}  // namespace nbl::test
