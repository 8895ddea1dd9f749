#include "compiler/import/hf/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "compiler/import/hf/config.h"
#include "compiler/import/hf/model_tensors.h"
#include "compiler/import/hf/tensor_folder.h"
#include "compiler/import/hf/tokenizer_folder.h"
#include "compiler/import/hf/tokenizer_json.h"

namespace nbl::compiler::hf {
namespace {

void set_stop_tokens(const ModelConfig& config, Checkpoint* checkpoint) {
  std::vector<uint32_t>& stops = checkpoint->hyper.stop_tokens;
  stops = config.eos;
  if (checkpoint->tokenizer) {
    for (const uint32_t id : tokenizer_stops(*checkpoint->tokenizer))
      stops.push_back(id);
  }
  std::ranges::sort(stops);
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
}

void read_tokenizer(const std::filesystem::path& folder, const ModelConfig& config,
                    Checkpoint* checkpoint) {
  const SpecialIds ids{.bos = config.bos,
                       .eos = config.eos.empty() ? -1 : static_cast<int32_t>(config.eos[0])};
  try {
    checkpoint->tokenizer = read_tokenizer_folder(folder, ids, &checkpoint->warnings);
    fit_vocabulary(checkpoint->hyper.vocab, &*checkpoint->tokenizer, &checkpoint->warnings);
  } catch (const UnknownVocabulary& error) {
    checkpoint->warnings.push_back(fmt::format(
        "{}: the model takes and gives token ids only, unless --tokenizer gives another vocabulary",
        error.what()));
  }
}

}  // namespace

Checkpoint import_model_folder(const std::filesystem::path& folder, bool with_tokenizer) {
  ModelConfig config = read_config(folder);
  const auto tensors = std::make_shared<TensorFolder>(folder);
  Checkpoint checkpoint;
  checkpoint.hyper = config.hyper;
  checkpoint.hyper.name = folder_name(folder);
  checkpoint.storage = tensors;
  read_model_tensors(*tensors, config, &checkpoint);
  if (with_tokenizer && has_tokenizer(folder)) read_tokenizer(folder, config, &checkpoint);
  set_stop_tokens(config, &checkpoint);
  return checkpoint;
}

std::string folder_name(const std::filesystem::path& folder) {
  const std::filesystem::path plain = std::filesystem::absolute(folder).lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).filename().string();
}

}  // namespace nbl::compiler::hf
