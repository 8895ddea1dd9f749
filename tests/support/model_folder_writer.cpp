#include "tests/support/model_folder_writer.h"

#include <cmath>
#include <random>

namespace nbl::test {
namespace {

bool is_norm(const std::string& name) {
  return name.find("norm") != std::string::npos;
}

std::map<std::string, std::string> config_of(const FolderSpec& spec) {
  std::map<std::string, std::string> config = {
      {"architectures", "[\"" + spec.class_name + "\"]"},
      {"hidden_size", std::to_string(spec.dim)},
      {"num_hidden_layers", std::to_string(spec.layers)},
      {"num_attention_heads", std::to_string(spec.heads)},
      {"num_key_value_heads", std::to_string(spec.kv_heads)},
      {"head_dim", std::to_string(spec.head_dim)},
      {"intermediate_size", std::to_string(spec.ffn)},
      {"vocab_size", std::to_string(spec.vocab)},
      {"max_position_embeddings", std::to_string(spec.context)},
      {"rms_norm_eps", "1e-5"},
      {"rope_theta", std::to_string(spec.theta)},
      {"tie_word_embeddings", spec.tied ? "true" : "false"},
      {"torch_dtype", "\"bfloat16\""},
      {"eos_token_id", "2"}};
  if (!spec.gemma) return config;
  config["query_pre_attn_scalar"] =
      std::to_string(std::lround(1 / (spec.attention_scale * spec.attention_scale)));
  config["rope_local_base_freq"] = std::to_string(spec.local_theta);
  config["hidden_activation"] = "\"gelu_pytorch_tanh\"";
  std::string types;
  for (const uint32_t window : spec.windows) {
    types += types.empty() ? "" : ",";
    types += window == 0 ? "\"full_attention\"" : "\"sliding_attention\"";
    if (window != 0) config["sliding_window"] = std::to_string(window);
  }
  config["layer_types"] = "[" + types + "]";
  return config;
}

}  // namespace

FolderSpec spec_of(const std::string& class_name) {
  FolderSpec spec;
  spec.class_name = class_name;
  if (class_name == "Qwen2ForCausalLM") spec.qkv_bias = spec.tied = true;
  if (class_name == "Qwen3ForCausalLM") spec.qk_norm = true;
  if (class_name == "Phi3ForCausalLM") spec.fused = true;
  if (class_name.starts_with("Gemma3")) {
    spec.gemma = spec.qk_norm = spec.tied = true;
    spec.layers = 3;
    spec.attention_scale = 1 / std::sqrt(24.0);
    spec.windows = {7, 0, 7};
    spec.theta = 1e6;
    spec.local_theta = 10000;
  }
  return spec;
}

std::vector<FolderShape> folder_shapes(const FolderSpec& spec) {
  const uint64_t q = uint64_t{spec.heads} * spec.head_dim;
  const uint64_t kv = uint64_t{spec.kv_heads} * spec.head_dim;
  std::vector<FolderShape> shapes = {{"model.embed_tokens.weight", spec.vocab, spec.dim}};
  for (uint32_t layer = 0; layer < spec.layers; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    const auto add = [&](const char* name, uint64_t rows, uint64_t columns) {
      shapes.push_back({at + name, rows, columns});
    };
    add("input_layernorm.weight", 1, spec.dim);
    if (spec.fused) {
      add("self_attn.qkv_proj.weight", q + 2 * kv, spec.dim);
      add("mlp.gate_up_proj.weight", 2 * uint64_t{spec.ffn}, spec.dim);
    } else {
      add("self_attn.q_proj.weight", q, spec.dim);
      add("self_attn.k_proj.weight", kv, spec.dim);
      add("self_attn.v_proj.weight", kv, spec.dim);
      add("mlp.gate_proj.weight", spec.ffn, spec.dim);
      add("mlp.up_proj.weight", spec.ffn, spec.dim);
    }
    if (spec.qkv_bias) {
      add("self_attn.q_proj.bias", 1, q);
      add("self_attn.k_proj.bias", 1, kv);
      add("self_attn.v_proj.bias", 1, kv);
    }
    if (spec.qk_norm) {
      add("self_attn.q_norm.weight", 1, spec.head_dim);
      add("self_attn.k_norm.weight", 1, spec.head_dim);
    }
    add("self_attn.o_proj.weight", spec.dim, q);
    add("mlp.down_proj.weight", spec.dim, spec.ffn);
    add("post_attention_layernorm.weight", 1, spec.dim);
    if (spec.gemma) {
      add("pre_feedforward_layernorm.weight", 1, spec.dim);
      add("post_feedforward_layernorm.weight", 1, spec.dim);
    }
  }
  shapes.push_back({"model.norm.weight", 1, spec.dim});
  if (!spec.tied) shapes.push_back({"lm_head.weight", spec.vocab, spec.dim});
  return shapes;
}

FolderModel random_folder_model(const FolderSpec& spec) {
  FolderModel model;
  model.spec = spec;
  model.config = config_of(spec);
  std::mt19937_64 engine(spec.seed);
  for (const FolderShape& shape : folder_shapes(spec)) {
    const bool vector = shape.rows == 1;
    const float middle = is_norm(shape.name) && !spec.gemma ? 1.0f : 0.0f;
    const float spread = vector ? 0.2f : 1.0f / std::sqrt(static_cast<float>(shape.columns));
    std::normal_distribution<float> normal(middle, spread);
    std::vector<float>& values = model.weights[shape.name];
    values.resize(shape.rows * shape.columns);
    for (float& value : values)
      value = normal(engine);
    model.tensors.push_back(stored_floats(
        shape.name, spec.type,
        vector ? std::vector<uint64_t>{shape.columns} : std::vector{shape.rows, shape.columns},
        &values));
  }
  return model;
}

std::string FolderModel::config_text() const {
  std::string text;
  for (const auto& [key, value] : config)
    text += (text.empty() ? "\"" : ",\"") + key + "\":" + value;
  return "{" + text + "}";
}

void FolderModel::write(const TempFolder& folder) const {
  folder.write("config.json", config_text());
  folder.write("model.safetensors", safetensors_file(tensors));
}

}  // namespace nbl::test
