// Could break: inspect stays silent about what tells a network from llama, or says it of llama.
#include "compiler/arch/describe.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/import/architectures.h"

namespace nbl::compiler {
namespace {

Hyper hyper_of(const char* architecture) {
  Hyper hyper;
  hyper.architecture = architecture;
  hyper.dim = 1152;
  hyper.layers = 26;
  hyper.head_dim = hyper.rotary_dim = 256;
  apply_architecture("the model", &hyper);
  return hyper;
}

std::string value_of(const Hyper& hyper, const char* key) {
  for (const auto& [name, value] : describe_network(hyper)) {
    if (name == key) return value;
  }
  return "";
}

TEST(Describe, says_of_llama_its_sizes_alone) {
  EXPECT_EQ(describe_network(hyper_of("llama")).size(), 9u);
  EXPECT_EQ(value_of(hyper_of("llama"), "layers"), "26");
  EXPECT_EQ(describe_windows(hyper_of("llama")), "none");
}

TEST(Describe, says_what_differs) {
  Hyper gemma = hyper_of("gemma3");
  gemma.windows = alternating_windows(26, 512, 6);
  gemma.local_rope_theta = 10000;
  gemma.local_rope_inv_freq.assign(128, 1);
  gemma.rope_scaling = "linear, factor 8";
  gemma.logit_softcap = 30;
  EXPECT_EQ(value_of(gemma, "attention_window"), "512 positions, all in layers 5, 11, 17, 23");
  EXPECT_EQ(value_of(gemma, "rope_theta_in_windows"), "10000");
  EXPECT_EQ(value_of(gemma, "rope_scaling"), "linear, factor 8");
  EXPECT_EQ(value_of(gemma, "logit_softcap"), "30");
  EXPECT_EQ(value_of(gemma, "gate"), "gelu, by tanh");
  EXPECT_EQ(value_of(gemma, "embedding_scale"), "33.9411");
  EXPECT_EQ(value_of(gemma, "besides_llama"),
            "norms of q and k, head by head; norms behind attention and feed-forward");
  EXPECT_EQ(value_of(hyper_of("qwen2"), "besides_llama"), "biases on q, k and v");
}

TEST(Describe, says_windows_of_any_pattern) {
  Hyper hyper = hyper_of("llama");
  hyper.windows = {7, 7, 0, 9};
  EXPECT_EQ(describe_windows(hyper), "7 or 9 positions, all in layers 2");
  hyper.windows = {7, 7};
  EXPECT_EQ(describe_windows(hyper), "7 positions");
  hyper.windows = {0, 0};
  EXPECT_EQ(describe_windows(hyper), "none");
}

}  // namespace
}  // namespace nbl::compiler
