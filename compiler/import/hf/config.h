// config.json and generation_config.json of a model folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/import/hf/json_file.h"

namespace nbl::compiler::hf {

struct ModelConfig {
  JsonFile file;
  std::string class_name;  // "LlamaForCausalLM"
  Hyper hyper;             // without name and stop tokens
  bool tied = false;       // the LM head is the embedding
  int32_t bos = -1;        // -1 = none is named
  std::vector<uint32_t> eos;

  // Null where nothing is quantized.
  const nlohmann::json* quantization() const;
};

// Errors  ImportError: no config.json, an architecture that nibble does not know (named, with those
//         that it knows), a value out of range, or one that changes the network in a way that
//         nibble does not compute.
ModelConfig read_config(const std::filesystem::path& folder);

}  // namespace nbl::compiler::hf
