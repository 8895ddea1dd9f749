// Random weights of the llama kind with their exact values, for the checkpoint writers beside this
// file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::test {

// Odd on purpose: no dimension is a power of two and heads are not dim / heads wide.
struct LlamaSpec {
  uint32_t dim = 96;
  uint32_t layers = 2;
  uint32_t heads = 6;
  uint32_t kv_heads = 2;
  uint32_t head_dim = 32;
  uint32_t ffn = 160;
  uint32_t vocab = 367;
  uint32_t context = 77;
  uint32_t rotary_dim = 0;  // 0 = head_dim
  double theta = 10000;
  float eps = 1e-5f;
  bool tied = true;
  bool tokenizer = true;
  compiler::SourceType type = compiler::SourceType::f32;  // of the matrices; norms are f32
  std::vector<float> rope_factors = {};                   // GGUF: rope_freqs.weight, R/2
  uint64_t seed = 1;
  std::string chat_template = {};  // GGUF
  // What other architectures have; GGUF only.
  std::string architecture = "llama";
  uint32_t window = 0;         // positions that a row sees; 0 = all
  uint32_t window_period = 0;  // every so many-th layer has no window; 0 = all have it
  double local_theta = 0;      // RoPE's base in layers with a window; 0 = theta
  double rope_linear = 1;      // divides frequencies of layers without a window of their own base
  std::vector<float> short_factors = {}, long_factors = {};  // R/2
  uint32_t short_context = 0;                                // a longer context takes long_factors
  float rope_magnitude = 1;
  float logit_softcap = 0;
  float attention_softcap = 0;
  double attention_scale = 0;  // 0 = 1 / sqrt(head_dim)

  bool is(const char* name) const { return architecture == name; }
  bool has_window(uint32_t layer) const {
    return window != 0 && (window_period == 0 || (layer + 1) % window_period != 0);
  }
};

// A whole file and what is in it.
struct LlamaFile {
  std::string bytes;
  // Canonical name -> exact values, [rows, columns], after the rounding of the file's type.
  std::map<std::string, std::vector<float>> weights;
  compiler::TokenizerData tokenizer;
};

compiler::Hyper hyper_of(const LlamaSpec& spec);

// Canonical names in the order of the layers, with their shapes. A file of phi3 has attn_q, attn_k
// and attn_v in one, and ffn_gate and ffn_up.
struct NamedShape {
  std::string name;
  uint64_t rows;
  uint64_t columns;
};
std::vector<NamedShape> named_shapes(const LlamaSpec& spec);

// Weights of spread 1/sqrt(columns), norms near 1.
std::vector<float> random_weights(const LlamaSpec& spec, const NamedShape& shape);

}  // namespace nbl::test
