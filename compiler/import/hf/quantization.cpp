#include "compiler/import/hf/quantization.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/checkpoint.h"
#include "compiler/import/hf/json_file.h"
#include "compiler/quantize/q4.h"

namespace nbl::compiler::hf {
namespace {

constexpr const char* kBits = "nibble takes over 4 bits; compile the model that it was made from";

void check_bits(const JsonField& object, std::string_view key) {
  if (object.at(key).integer() != 4) {
    object.at(key).fail(fmt::format("is {}; {}", object.at(key).integer(), kBits));
  }
}

void check_symmetric(const JsonField& object, std::string_view key) {
  if (object.at(key).flag()) return;
  object.at(key).fail(
      "is false: its groups have zero points of their own, which the 4 bits of nibble do not; "
      "compile the model that it was made from");
}

// -1 stands for whole rows.
uint32_t group_size_of(const JsonField& field) {
  const int64_t size = field.integer();
  if (size == -1) return 0;
  if (size > 0 && size <= kMaxGroupSize && is_group_size(static_cast<uint32_t>(size))) {
    return static_cast<uint32_t>(size);
  }
  field.fail(fmt::format("is {}; it must be a multiple of 8 from 8 to {}, or -1 for whole rows",
                         size, kMaxGroupSize));
}

Quantization read_gptq(const JsonField& config) {
  check_bits(config, "bits");
  Quantization quantization{.packing = Packing::gptq,
                            .group_sizes = {group_size_of(config.at("group_size"))}};
  if (config.has("sym")) check_symmetric(config, "sym");
  const std::string format = text_or(config, "checkpoint_format", "gptq");
  if (format != "gptq" && format != "gptq_v2") {
    config.at("checkpoint_format")
        .fail(fmt::format("is {}; nibble knows gptq and gptq_v2", format));
  }
  quantization.zero_points_plain = format == "gptq_v2";
  quantization.sorts_columns = flag_or(config, "desc_act", false);
  return quantization;
}

uint32_t group_of(const JsonField& weights) {
  check_bits(weights, "num_bits");
  if (text_or(weights, "type", "int") != "int") {
    weights.at("type").fail(fmt::format("is {}; nibble knows int", weights.at("type").text()));
  }
  if (weights.has("symmetric")) check_symmetric(weights, "symmetric");
  const std::string strategy = text_or(weights, "strategy", "group");
  if (strategy == "channel") return 0;
  if (strategy == "group") return group_size_of(weights.at("group_size"));
  weights.at("strategy").fail(fmt::format("is {}; nibble knows group and channel", strategy));
}

Quantization read_compressed(const JsonField& config, std::vector<std::string>* warnings) {
  const std::string format = text_or(config, "format", "none");
  if (format != "pack-quantized") {
    config.fail(
        fmt::format("has format {}; nibble takes over pack-quantized weights of 4 bits", format));
  }
  Quantization quantization{.packing = Packing::compressed_tensors, .group_sizes = {}};
  if (config.has("transform_config") && !config.at("transform_config").value().empty()) {
    config.at("transform_config")
        .fail(
            "turns activations before they are multiplied, which nibble "
            "does not");
  }
  bool rounds_activations = false;
  for (const auto& [name, group] : config.at("config_groups").members()) {
    const uint32_t size = group_of(group.at("weights"));
    if (std::ranges::find(quantization.group_sizes, size) == quantization.group_sizes.end()) {
      quantization.group_sizes.push_back(size);
    }
    rounds_activations = rounds_activations || group.has("input_activations");
    const std::string order = text_or(group.at("weights"), "actorder", "none");
    quantization.sorts_columns = quantization.sorts_columns || order == "group";
  }
  if (rounds_activations) {
    warnings->push_back(
        "the model was made for activations that are rounded too; nibble rounds them where "
        "--activations int8 asks for it");
  }
  return quantization;
}

}  // namespace

Quantization read_quantization(const JsonField& config, std::vector<std::string>* warnings) {
  const std::string method = text_or(config, "quant_method", "none");
  if (method == "gptq") return read_gptq(config);
  if (method == "compressed-tensors") return read_compressed(config, warnings);
  if (method == "torchao") return {.packing = Packing::torchao, .group_sizes = {}};
  config.fail(
      fmt::format("has quant_method {}; nibble takes over gptq, compressed-tensors and torchao "
                  "where their weights have 4 bits; compile the model that it was made from",
                  method));
}

}  // namespace nbl::compiler::hf
