#include "compiler/import/hf/model_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "compiler/import/hf/quantization.h"
#include "compiler/import/llama_tensors.h"

namespace nbl::compiler::hf {
namespace {

struct Name {
  std::string_view theirs;
  std::string_view ours;
};

constexpr Name kLayerNames[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.o_proj", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},  // the gate's rows, then those of up
    {"mlp.down_proj", "ffn_down"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
};

std::optional<std::string_view> layer_name(std::string_view architecture, std::string_view name) {
  // The norm after attention where there are two around each block, else that before the second.
  if (name == "post_attention_layernorm") {
    return architecture == "gemma3" ? "post_attention_norm" : "ffn_norm";
  }
  const auto* found = std::ranges::find(kLayerNames, name, &Name::theirs);
  return found == std::end(kLayerNames) ? std::nullopt : std::optional(found->ours);
}

// Parts of models that see pictures, and buffers that old files hold beside their weights.
bool is_ignored(std::string_view module) {
  for (const std::string_view part : {"vision_tower.", "multi_modal_projector.", "vision_model."}) {
    if (module.starts_with(part) || module.find(fmt::format(".{}", part)) != module.npos) {
      return true;
    }
  }
  return module.ends_with("rotary_emb");
}

SourceType source_type(const SafeTensor& tensor) {
  switch (tensor.type) {
    case DataType::f32:
      return SourceType::f32;
    case DataType::f16:
      return SourceType::f16;
    case DataType::bf16:
      return SourceType::bf16;
    default:
      throw ImportError(fmt::format("{}: tensor {} has type {}; nibble imports F32, F16 and BF16",
                                    tensor.file, tensor.name, data_type_name(tensor.type)));
  }
}

SourceTensor view(const SafeTensor& from) {
  const size_t rank = from.shape.size();
  if (rank != 1 && rank != 2) {
    throw ImportError(fmt::format("{}: tensor {} has shape {}; a weight has 1 or 2 dimensions",
                                  from.file, from.name, from.shape_text()));
  }
  SourceTensor tensor;
  tensor.name = from.name;
  tensor.type = source_type(from);
  tensor.rows = rank == 1 ? 1 : from.shape[0];
  tensor.columns = from.shape.back();
  tensor.data = from.data;
  return tensor;
}

SourceTensor packed(Q4Rows rows) {
  SourceTensor tensor;
  tensor.name = rows.name;
  tensor.rows = rows.rows;
  tensor.columns = rows.columns;
  tensor.quantized = std::make_shared<const Q4Rows>(std::move(rows));
  return tensor;
}

bool is_zero(const SourceTensor& vector) {
  std::vector<float> values(vector.columns);
  vector.read_row(0, values.data());
  return std::ranges::all_of(values, [](float value) { return value == 0; });
}

class Reader {
 public:
  Reader(const TensorFolder& folder, const ModelConfig& config, Checkpoint* checkpoint)
      : folder_(folder), config_(config), checkpoint_(*checkpoint) {
    if (const nlohmann::json* from = config.quantization()) {
      quantization_ = read_quantization(
          JsonField(config.file.path, *from, "config.quantization_config"), &checkpoint->warnings);
    }
  }

  void read() {
    std::map<std::string, Parameters, std::less<>> modules;
    for (const auto& [name, tensor] : folder_.tensors()) {
      const size_t dot = std::min(name.rfind('.'), name.size());
      modules[name.substr(0, dot)][name.substr(std::min(dot + 1, name.size()))] = tensor;
    }
    for (auto& [module, parameters] : modules) {
      if (!is_ignored(module)) read_module(module, &parameters);
    }
    if (!config_.tied && !checkpoint_.tensors.contains("output")) {
      throw ImportError(
          fmt::format("{}: tensor lm_head.weight is missing, and config.json does "
                      "not say tie_word_embeddings",
                      folder_.path()));
    }
  }

 private:
  void read_module(const std::string& module, Parameters* parameters) {
    const SafeTensor& first = *parameters->begin()->second;
    const auto name = canonical_name(checkpoint_.hyper.architecture, module);
    if (!name) refuse(first);
    const auto weight = parameters->find("weight");
    if (weight != parameters->end()) {
      // A tied head is the embedding whatever the file has in its place.
      if (*name != "output" || !config_.tied) add(*name, view(*weight->second));
      parameters->erase(weight);
    } else if (is_packed(*parameters)) {
      add(*name, packed(read_module_rows(module, parameters)));
    }
    const auto bias = parameters->find("bias");
    if (bias != parameters->end()) {
      add_bias(*name, view(*bias->second));
      parameters->erase(bias);
    }
    if (!parameters->empty()) refuse(*parameters->begin()->second);
  }

  Q4Rows read_module_rows(const std::string& module, Parameters* parameters) {
    if (quantization_) return read_packed(*quantization_, module, parameters);
    const SafeTensor& first = *parameters->begin()->second;
    throw ImportError(
        fmt::format("{}: tensor {} is quantized; config.json has no quantization_config "
                    "to say how",
                    first.file, first.name));
  }

  void add(const std::string& name, SourceTensor tensor) {
    const std::string theirs = tensor.name;
    if (checkpoint_.tensors.emplace(name, std::move(tensor)).second) return;
    throw ImportError(fmt::format("{}: tensor {} is there twice, as {} too", folder_.path(), theirs,
                                  checkpoint_.tensors.at(name).name));
  }

  // Quantizers write biases of zeros where a layer has none.
  void add_bias(const std::string& name, SourceTensor bias) {
    const bool has_place =
        checkpoint_.hyper.qkv_bias &&
        (name.ends_with(".attn_q") || name.ends_with(".attn_k") || name.ends_with(".attn_v"));
    if (has_place || bias.rows != 1 || !is_zero(bias)) add(name + ".bias", std::move(bias));
  }

  [[noreturn]] void refuse(const SafeTensor& tensor) const {
    throw ImportError(
        fmt::format("{}: tensor {} has no place in the {} architecture that nibble knows",
                    tensor.file, tensor.name, checkpoint_.hyper.architecture));
  }

  const TensorFolder& folder_;
  const ModelConfig& config_;
  Checkpoint& checkpoint_;
  std::optional<Quantization> quantization_;
};

}  // namespace

std::optional<std::string> canonical_name(std::string_view architecture, std::string_view module) {
  if (module == "lm_head" || module.ends_with(".lm_head")) return "output";
  if (module.ends_with("model.embed_tokens") || module.ends_with("language_model.embed_tokens")) {
    return "token_embd";
  }
  if (module.ends_with("model.norm") || module.ends_with("language_model.norm")) {
    return "output_norm";
  }
  constexpr std::string_view kLayers = "layers.";
  const size_t at = module.find(kLayers);
  if (at == std::string_view::npos || (at > 0 && module[at - 1] != '.')) return std::nullopt;
  const char* end = module.data() + module.size();
  uint32_t layer = 0;
  const auto number = std::from_chars(module.data() + at + kLayers.size(), end, layer);
  if (number.ec != std::errc() || number.ptr == end || *number.ptr != '.') return std::nullopt;
  const auto name = layer_name(architecture, {number.ptr + 1, end});
  if (!name) return std::nullopt;
  return fmt::format("blk.{}.{}", layer, *name);
}

std::string their_name(std::string_view architecture, std::string_view name) {
  const bool is_bias = name.ends_with(".bias");
  std::string_view module = name.substr(0, name.size() - (is_bias ? 5 : 0));
  const char* last = is_bias ? "bias" : "weight";
  if (module == "token_embd") return fmt::format("model.embed_tokens.{}", last);
  if (module == "output_norm") return fmt::format("model.norm.{}", last);
  if (!module.starts_with("blk.")) return fmt::format("lm_head.{}", last);
  const size_t dot = module.find('.', 4);
  const std::string_view ours = module.substr(dot + 1);
  const std::string_view after_attention = "post_attention_layernorm";
  const auto* found = std::ranges::find(kLayerNames, ours, &Name::ours);
  std::string_view theirs = found == std::end(kLayerNames) ? ours : found->theirs;
  if (layer_name(architecture, after_attention) == ours) theirs = after_attention;
  return fmt::format("model.layers.{}.{}.{}", module.substr(4, dot - 4), theirs, last);
}

void read_model_tensors(const TensorFolder& folder, const ModelConfig& config,
                        Checkpoint* checkpoint) {
  Reader(folder, config, checkpoint).read();
  split_fused_tensors(checkpoint->hyper, &checkpoint->tensors);
  for (const TensorShape& shape : llama_tensor_shapes(checkpoint->hyper)) {
    if (!shape.required || checkpoint->tensors.contains(shape.name)) continue;
    throw ImportError(fmt::format("{}: tensor {} is missing", folder.path(),
                                  their_name(checkpoint->hyper.architecture, shape.name)));
  }
  check_llama_tensors(folder.path(), checkpoint->hyper, checkpoint->tensors);
}

}  // namespace nbl::compiler::hf
