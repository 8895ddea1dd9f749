// Breaks if a GGUF file of another architecture than llama is read with a wrong number, a default
// that its family does not have, or a matrix cut at a wrong row.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compiler/import/checkpoint.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/import_errors.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::test;

Checkpoint import(const LlamaSpec& spec) {
  const TempFile file(write_gguf_llama(spec).bytes, ".gguf");
  return import_checkpoint(file.path(), {});
}

std::string replaced(std::string bytes, std::string_view from, std::string_view to) {
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return bytes.replace(at, from.size(), to);
}

std::vector<float> row_of(const Checkpoint& checkpoint, const char* name, uint64_t row) {
  const SourceTensor& tensor = checkpoint.tensors.at(name);
  std::vector<float> values(tensor.columns);
  tensor.read_row(row, values.data());
  return values;
}

TEST(GgufArchitecture, turns_neighbours_in_llama_alone) {
  for (const char* name : {"llama", "qwen2", "qwen3", "gemma3", "phi3"}) {
    const Hyper hyper = import({.architecture = name}).hyper;
    EXPECT_EQ(hyper.architecture, name);
    EXPECT_EQ(hyper.rope_half, std::string_view(name) != "llama") << name;
  }
}

TEST(GgufArchitecture, has_what_its_name_says) {
  const Hyper qwen2 = import({.architecture = "qwen2"}).hyper;
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.qk_norm);
  const Hyper qwen3 = import({.architecture = "qwen3"}).hyper;
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_FALSE(qwen3.post_norms);
  const Hyper gemma = import({.layers = 7, .architecture = "gemma3", .window = 20}).hyper;
  EXPECT_TRUE(gemma.qk_norm && gemma.post_norms);
  EXPECT_EQ(gemma.gate, Gate::gelu_tanh);
  EXPECT_EQ(gemma.norm_offset, 0);
  EXPECT_NEAR(gemma.embedding_scale, std::sqrt(96.0), 1e-6);
  EXPECT_EQ(gemma.windows, (std::vector<uint32_t>{20, 20, 20, 20, 20, 0, 20}));
  EXPECT_EQ(gemma.attention_scale, 0);
}

TEST(GgufArchitecture, has_biases_that_are_asked_for_and_no_others) {
  const LlamaSpec spec{.architecture = "qwen2"};
  const LlamaFile written = write_gguf_llama(spec);
  EXPECT_EQ(row_of(import(spec), "blk.1.attn_k.bias", 0), written.weights.at("blk.1.attn_k.bias"));
  expect_refused(replaced(written.bytes, "blk.0.attn_v.bias", "blk.0.attn_z.bias"),
                 {"blk.0.attn_v.bias is missing"});
  const std::string llama = write_gguf_llama({}).bytes;
  expect_refused(replaced(llama, "blk.0.ffn_norm.weight", "blk.0.attn_qqq.biases"),
                 {"blk.0.attn_qqq.biases", "no place in the llama"});
}

TEST(GgufArchitecture, takes_windows_by_period_or_layer) {
  LlamaSpec spec{.layers = 4, .architecture = "gemma3", .window = 20, .window_period = 2};
  EXPECT_EQ(import(spec).hyper.windows, (std::vector<uint32_t>{20, 0, 20, 0}));
  // The period 0 is refused; the same bytes as an array of bools are not.
  std::string bytes = write_gguf_llama(spec).bytes;
  const std::string key = "gemma3.attention.sliding_window_pattern";
  const size_t value = bytes.find(key) + key.size() + 4;
  bytes[value] = 0;
  expect_refused(bytes, {key, "is 0"});
  // One that shows every position there is still says by which base a layer turns.
  spec.window = spec.context;
  EXPECT_EQ(import(spec).hyper.windows, (std::vector<uint32_t>{77, 0, 77, 0}));
  EXPECT_TRUE(import({.window = 77}).hyper.windows.empty());
  EXPECT_EQ(import({.window = 20}).hyper.windows, (std::vector<uint32_t>{20, 20}));
  EXPECT_TRUE(import({.architecture = "qwen2", .window = 20}).hyper.windows.empty());
}

TEST(GgufArchitecture, scales_global_frequencies_and_not_local_ones) {
  const Hyper hyper =
      import({.theta = 1e6, .architecture = "gemma3", .window = 20, .rope_linear = 8}).hyper;
  ASSERT_EQ(hyper.rope_inv_freq.size(), 16u);
  ASSERT_EQ(hyper.local_rope_inv_freq.size(), 16u);
  for (int i = 0; i < 16; ++i) {
    EXPECT_NEAR(hyper.rope_inv_freq[i], std::pow(1e6, -i / 16.0) / 8, 1e-12);
    EXPECT_NEAR(hyper.local_rope_inv_freq[i], std::pow(1e4, -i / 16.0), 1e-12);
  }
  EXPECT_EQ(hyper.rope_scaling, "linear, factor 8");
}

TEST(GgufArchitecture, divides_by_heads_in_the_largest_gemma) {
  LlamaSpec spec{.dim = 32,
                 .layers = 62,
                 .heads = 2,
                 .kv_heads = 1,
                 .head_dim = 32,
                 .ffn = 32,
                 .vocab = 261,
                 .architecture = "gemma3"};
  EXPECT_NEAR(import(spec).hyper.attention_scale, 0.25, 1e-7);
  spec.attention_scale = 0.5;
  EXPECT_EQ(import(spec).hyper.attention_scale, 0.5f);
  spec.layers = 3;
  EXPECT_EQ(import(spec).hyper.attention_scale, 0.5f);
}

TEST(GgufArchitecture, takes_fused_matrices_apart) {
  const LlamaSpec spec{.architecture = "phi3"};
  const LlamaFile written = write_gguf_llama(spec);
  const Checkpoint checkpoint = import(spec);
  for (const NamedShape& shape : named_shapes(spec)) {
    const SourceTensor& tensor = checkpoint.tensors.at(shape.name);
    ASSERT_EQ(tensor.rows, shape.rows) << shape.name;
    const std::vector<float>& values = written.weights.at(shape.name);
    const std::vector<float> last(values.end() - static_cast<std::ptrdiff_t>(shape.columns),
                                  values.end());
    EXPECT_EQ(row_of(checkpoint, shape.name.c_str(), shape.rows - 1), last) << shape.name;
  }
  EXPECT_FALSE(checkpoint.tensors.contains("blk.0.attn_qkv"));
  // Rows that are no q, k and v together.
  LlamaSpec wrong = spec;
  wrong.kv_heads = 3;
  const std::string key = "phi3.attention.head_count_kv";
  std::string bytes = written.bytes;
  bytes[bytes.find(key) + key.size() + 4] = 3;
  expect_refused(bytes, {"blk.0.attn_q is missing"});
}

TEST(GgufArchitecture, has_two_sets_of_longrope_factors) {
  const std::vector<float> few(16, 2.0f), many(16, 4.0f);
  LlamaSpec spec{.architecture = "phi3",
                 .short_factors = few,
                 .long_factors = many,
                 .short_context = 40,
                 .rope_magnitude = 1.25f};
  const Hyper hyper = import(spec).hyper;
  EXPECT_EQ(hyper.rope_short_context, 40u);
  EXPECT_EQ(hyper.rope_magnitude, 1.25f);
  for (int i = 0; i < 16; ++i) {
    EXPECT_NEAR(hyper.rope_inv_freq[i], std::pow(1e4, -i / 16.0) / 2, 1e-12);
    EXPECT_NEAR(hyper.rope_long_inv_freq[i], std::pow(1e4, -i / 16.0) / 4, 1e-12);
  }
  spec.long_factors.clear();
  expect_refused(write_gguf_llama(spec).bytes, {"rope_factors_long.weight is missing"});
  spec.long_factors = many;
  spec.short_context = 0;
  expect_refused(write_gguf_llama(spec).bytes,
                 {"phi3.rope.scaling.original_context_length is missing"});
  spec.short_context = 40;
  spec.short_factors[3] = -1;
  expect_refused(write_gguf_llama(spec).bytes,
                 {"rope_factors_short.weight", "element 3 = -1", "positive"});
  spec.short_factors.pop_back();
  expect_refused(write_gguf_llama(spec).bytes, {"rope_factors_short.weight", "[1, 15]", "[1, 16]"});
}

TEST(GgufArchitecture, refuses_scalings_it_does_not_know) {
  const std::string linear = write_gguf_llama({.rope_linear = 2}).bytes;
  expect_refused(replaced(linear, "linear", "yarnly"),
                 {"llama.rope.scaling.type is yarnly", "none, linear and longrope"});
  expect_refused(write_gguf_llama({.rope_linear = -2}).bytes,
                 {"llama.rope.scaling.factor is -2", "positive"});
  expect_refused(write_gguf_llama({.logit_softcap = -1}).bytes,
                 {"cap of logits is -1", "positive"});
  expect_refused(write_gguf_llama({.attention_softcap = INFINITY}).bytes,
                 {"cap of attention scores is inf"});
}

}  // namespace
