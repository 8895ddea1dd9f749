#include "compiler/import/hf/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "compiler/import/architectures.h"
#include "compiler/import/hf/rope.h"
#include "compiler/import/llama_tensors.h"
#include "rt/base/limits.h"

namespace nbl::compiler::hf {
namespace {

// What a class of transformers assumes where config.json says nothing.
//
// Source   the configuration classes of transformers 4 and 5.
struct ModelClass {
  const char* name;
  const char* architecture;
  double eps = 1e-6;
  RopeDefaults rope = {};
  bool tied = false;
  const char* activation = "silu";
  // Which layers have a window, where layer_types does not say: all, those from max_window_layers
  // on if use_sliding_window, or all but each sixth.
  enum class Windows : uint8_t { none, all, upper, alternating } windows = Windows::none;
};

constexpr ModelClass kClasses[] = {
    {.name = "LlamaForCausalLM", .architecture = "llama"},
    {.name = "MistralForCausalLM", .architecture = "llama", .windows = ModelClass::Windows::all},
    {.name = "Qwen2ForCausalLM", .architecture = "qwen2", .windows = ModelClass::Windows::upper},
    {.name = "Qwen3ForCausalLM", .architecture = "qwen3", .windows = ModelClass::Windows::upper},
    {.name = "Gemma3ForCausalLM",
     .architecture = "gemma3",
     .rope = {.theta = 1e6, .local_theta = 10000},
     .tied = true,
     .activation = "gelu_pytorch_tanh",
     .windows = ModelClass::Windows::alternating},
    {.name = "Gemma3ForConditionalGeneration",
     .architecture = "gemma3",
     .rope = {.theta = 1e6, .local_theta = 10000},
     .tied = true,
     .activation = "gelu_pytorch_tanh",
     .windows = ModelClass::Windows::alternating},
    {.name = "Phi3ForCausalLM",
     .architecture = "phi3",
     .eps = 1e-5,
     .windows = ModelClass::Windows::all},
};

constexpr uint32_t kMaxHeadDim = 65536;
constexpr uint32_t kMaxLayers = 1024;

const ModelClass& class_of(const JsonField& config) {
  const std::vector<JsonField> names = config.at("architectures").elements();
  if (names.empty()) config.at("architectures").fail("is empty");
  const std::string& name = names[0].text();
  const auto* found = std::ranges::find(kClasses, name, &ModelClass::name);
  if (found != std::end(kClasses)) return *found;
  std::string known;
  for (const ModelClass& c : kClasses)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", c.name);
  names[0].fail(fmt::format("is {}; nibble knows {}", name, known));
}

// Gemma 3's vision models leave out of text_config what its class assumes.
uint32_t size_at(const JsonField& config, const ModelClass& c, std::string_view key,
                 uint32_t most) {
  struct Assumed {
    std::string_view key;
    uint32_t value;
  };
  constexpr Assumed kGemma3[] = {{"vocab_size", 262208},
                                 {"hidden_size", 2304},
                                 {"intermediate_size", 9216},
                                 {"num_hidden_layers", 26},
                                 {"num_attention_heads", 8},
                                 {"num_key_value_heads", 4},
                                 {"head_dim", 256},
                                 {"max_position_embeddings", 131072},
                                 {"query_pre_attn_scalar", 256},
                                 {"sliding_window", 4096}};
  const auto* assumed = std::ranges::find(kGemma3, key, &Assumed::key);
  const bool is_gemma3 = std::string_view(c.architecture) == "gemma3";
  if (is_gemma3 && !config.has(key) && assumed != std::end(kGemma3)) return assumed->value;
  return whole_number(config.at(key), 1, most);
}

void refuse_variants(const JsonField& config, const ModelClass& c) {
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    const std::string activation = text_or(config, key, c.activation);
    if (activation != c.activation) {
      config.at(key).fail(
          fmt::format("is {}; nibble knows {} in a {}", activation, c.activation, c.name));
    }
  }
  for (const char* key : {"attention_bias", "mlp_bias", "use_bidirectional_attention"}) {
    if (flag_or(config, key, false)) config.at(key).fail("is true; nibble knows false only");
  }
  for (const char* key : {"num_local_experts", "num_experts"}) {
    if (whole_number_or(config, key, 0) > 1) {
      config.at(key).fail("is more than 1; nibble knows models without experts");
    }
  }
}

std::vector<uint32_t> listed_windows(const JsonField& types, uint32_t window) {
  std::vector<uint32_t> windows;
  for (const JsonField& type : types.elements()) {
    if (type.text() != "full_attention" && type.text() != "sliding_attention") {
      type.fail(
          fmt::format("is {}; nibble knows full_attention and sliding_attention", type.text()));
    }
    const bool sliding = type.text() == "sliding_attention";
    if (sliding && window == 0) type.fail("is sliding_attention, but sliding_window is not set");
    windows.push_back(sliding ? window : 0);
  }
  return windows;
}

std::vector<uint32_t> windows_of(const JsonField& config, const ModelClass& c, uint32_t layers) {
  using Windows = ModelClass::Windows;
  constexpr uint32_t kMost = std::numeric_limits<int32_t>::max();
  const bool has_window = c.windows == Windows::alternating || config.has("sliding_window");
  const uint32_t window = has_window ? size_at(config, c, "sliding_window", kMost) : 0;
  if (config.has("layer_types")) return listed_windows(config.at("layer_types"), window);
  if (window == 0 || c.windows == Windows::none) return {};
  if (c.windows == Windows::all) return std::vector<uint32_t>(layers, window);
  if (c.windows == Windows::alternating) {
    const uint32_t period = whole_number_or(config, "sliding_window_pattern",
                                            whole_number_or(config, "_sliding_window_pattern", 6));
    if (period == 0) config.fail("has sliding_window_pattern 0; it must be positive");
    return alternating_windows(layers, window, period);
  }
  if (!flag_or(config, "use_sliding_window", false)) return {};
  std::vector<uint32_t> windows(layers, 0);
  const uint32_t first = std::min(whole_number_or(config, "max_window_layers", 28), layers);
  std::fill(windows.begin() + first, windows.end(), window);
  return windows;
}

void read_attention(const JsonField& config, const ModelClass& c, Hyper* hyper) {
  hyper->windows = windows_of(config, c, hyper->layers);
  // A window as long as the context is none, unless its layers turn by frequencies of their own.
  for (uint32_t& window : hyper->windows) {
    if (window >= hyper->context && c.rope.local_theta == 0) window = 0;
  }
  const auto is_none = [](uint32_t window) { return window == 0; };
  if (std::ranges::all_of(hyper->windows, is_none)) hyper->windows.clear();
  hyper->attention_softcap = static_cast<float>(real_or(config, "attn_logit_softcapping", 0));
  hyper->logit_softcap = static_cast<float>(real_or(config, "final_logit_softcapping", 0));
  if (hyper->architecture != "gemma3") return;
  hyper->attention_scale = static_cast<float>(
      1 / std::sqrt(static_cast<double>(size_at(config, c, "query_pre_attn_scalar", kMaxHeadDim))));
  hyper->norm_offset = 1;
}

Hyper read_hyper(const JsonField& config, const ModelClass& c) {
  Hyper hyper;
  hyper.architecture = c.architecture;
  hyper.vocab = size_at(config, c, "vocab_size", kMaxDim);
  hyper.dim = size_at(config, c, "hidden_size", kMaxDim);
  hyper.layers = size_at(config, c, "num_hidden_layers", kMaxLayers);
  hyper.heads = size_at(config, c, "num_attention_heads", kMaxDim);
  hyper.kv_heads = hyper.heads;
  const bool is_gemma3 = hyper.architecture == "gemma3";
  if (is_gemma3 || config.has("num_key_value_heads")) {
    hyper.kv_heads = size_at(config, c, "num_key_value_heads", kMaxDim);
  }
  hyper.head_dim = hyper.dim / hyper.heads;
  if (is_gemma3 || config.has("head_dim")) {
    hyper.head_dim = size_at(config, c, "head_dim", kMaxHeadDim);
  }
  if (hyper.head_dim > kMaxHeadDim) {
    config.fail(
        fmt::format("has heads of {} elements (hidden_size {}, num_attention_heads {}); "
                    "at most {} are read",
                    hyper.head_dim, hyper.dim, hyper.heads, kMaxHeadDim));
  }
  hyper.ffn = size_at(config, c, "intermediate_size", kMaxDim);
  hyper.context = size_at(config, c, "max_position_embeddings", kMaxDim);
  hyper.eps = static_cast<float>(real_or(config, "rms_norm_eps", c.eps));
  apply_architecture(config.source(), &hyper);
  read_attention(config, c, &hyper);
  read_rope(config, c.rope, &hyper);
  check_llama_hyper(config.source(), hyper);
  return hyper;
}

// One id, a list of them, or nothing.
std::vector<uint32_t> token_ids(const JsonField& object, std::string_view key, uint32_t vocab) {
  if (!object.has(key)) return {};
  const JsonField field = object.at(key);
  if (!field.is_list()) return {whole_number(field, 0, vocab - 1)};
  std::vector<uint32_t> ids;
  for (const JsonField& element : field.elements())
    ids.push_back(whole_number(element, 0, vocab - 1));
  return ids;
}

// The ids that generation_config.json names go before those of config.json.
void read_special_ids(const JsonField& object, ModelConfig* config) {
  const uint32_t vocab = config->hyper.vocab;
  const std::vector<uint32_t> bos = token_ids(object, "bos_token_id", vocab);
  const std::vector<uint32_t> eos = token_ids(object, "eos_token_id", vocab);
  if (config->bos < 0 && !bos.empty()) config->bos = static_cast<int32_t>(bos[0]);
  if (config->eos.empty()) config->eos = eos;
}

}  // namespace

const nlohmann::json* ModelConfig::quantization() const {
  const auto found = file.value.find("quantization_config");
  return found == file.value.end() || found->is_null() ? nullptr : &*found;
}

ModelConfig read_config(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "config.json")) {
    throw ImportError(fmt::format("{}: has no config.json: it is no model folder of Hugging Face",
                                  folder.string()));
  }
  ModelConfig config;
  config.file = read_json_file(folder / "config.json");
  const JsonField root = config.file.root();
  const ModelClass& c = class_of(root);
  config.class_name = c.name;
  // Models that see pictures keep the language model's numbers apart.
  const JsonField text = root.has("text_config") ? root.at("text_config") : root;
  refuse_variants(text, c);
  config.hyper = read_hyper(text, c);
  config.tied = flag_or(text, "tie_word_embeddings", flag_or(root, "tie_word_embeddings", c.tied));
  if (std::filesystem::exists(folder / "generation_config.json")) {
    const JsonFile generation = read_json_file(folder / "generation_config.json");
    read_special_ids(generation.root(), &config);
  }
  read_special_ids(root, &config);
  read_special_ids(text, &config);
  return config;
}

}  // namespace nbl::compiler::hf
