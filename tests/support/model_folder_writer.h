// Random model folders of Hugging Face with the exact values of every tensor, and what such a model
// computes in float64.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rt/model/model.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/temp_folder.h"

namespace nbl::test {

// The numbers of a model as its paper has them. Odd on purpose.
struct FolderSpec {
  std::string class_name = "LlamaForCausalLM";
  uint32_t dim = 92;
  uint32_t layers = 2;
  uint32_t heads = 6;
  uint32_t kv_heads = 2;
  uint32_t head_dim = 20;
  uint32_t ffn = 132;
  uint32_t vocab = 307;
  uint32_t context = 96;
  double theta = 10000;
  bool tied = false;
  std::string type = "F32";  // of the tensors
  // What differs between architectures.
  bool qkv_bias = false;
  bool qk_norm = false;
  bool gemma = false;                  // norms around blocks and of 1 + w, gelu, scaled embeddings
  bool fused = false;                  // q, k and v in one matrix, gate and up too
  double attention_scale = 0;          // 0: 1 / sqrt(head_dim)
  std::vector<uint32_t> windows = {};  // by layer, 0 = all
  double local_theta = 0;              // of layers with a window
  std::vector<double> inv_freq = {};   // empty: theta^(-2i / head_dim)
  double magnitude = 1;                // of cosines and sines
  uint64_t seed = 1;
};

// The usual spec of a class.
FolderSpec spec_of(const std::string& class_name);

using FolderWeights = std::map<std::string, std::vector<float>>;

struct FolderModel {
  FolderSpec spec;
  std::map<std::string, std::string> config;  // of each key, its JSON
  std::vector<StoredTensor> tensors;
  FolderWeights weights;  // by the folder's names, after rounding to its type

  std::string config_text() const;
  // config.json and model.safetensors.
  void write(const TempFolder& folder) const;
};

FolderModel random_folder_model(const FolderSpec& spec);

struct FolderShape {
  std::string name;
  uint64_t rows;  // 1: a vector
  uint64_t columns;
};
std::vector<FolderShape> folder_shapes(const FolderSpec& spec);

// The model's steps in float64, as transformers has them: half-split rotation, grouped heads. Keys
// and values are rounded to `cache`, f32 (not at all) or f16.
class FolderForward {
 public:
  FolderForward(const FolderSpec& spec, FolderWeights weights, DType cache = DType::f32);
  std::vector<double> step(uint32_t token);

 private:
  using Vector = std::vector<double>;
  Vector times(const std::string& name, const Vector& x) const;
  Vector norm(const std::string& name, const Vector& x) const;
  void norm_heads(const std::string& name, Vector* x) const;
  void turn(uint32_t layer, Vector* x) const;
  Vector project(const std::string& at, const char* name, const Vector& x) const;
  Vector attention(const std::string& at, uint32_t layer, const Vector& x);
  Vector feed_forward(const std::string& at, const Vector& x) const;
  void layer(uint32_t index, Vector* x);

  FolderSpec spec_;
  FolderWeights weights_;
  bool half_cache_;
  uint32_t position_ = 0;
  std::vector<std::vector<Vector>> keys_, values_;
};

}  // namespace nbl::test
