#include "compiler/import/hf/tensor_folder.h"

#include <fmt/format.h>

#include <set>

#include "compiler/import/checkpoint.h"
#include "compiler/import/hf/json_file.h"

namespace nbl::compiler::hf {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_without_tensors(const fs::path& folder) {
  const bool pickled = fs::exists(folder / "pytorch_model.bin") ||
                       fs::exists(folder / "pytorch_model.bin.index.json");
  throw ImportError(fmt::format("{}: has neither {} nor {}{}", folder.string(), kSingleFile,
                                kIndexFile,
                                pickled ? "; pytorch_model.bin runs code when it is read: save the "
                                          "model again with safe_serialization=True"
                                        : ""));
}

// Shards lie beside their index, so that an index cannot name files elsewhere.
void check_shard_name(const JsonField& field) {
  const fs::path name = field.text();
  if (!name.empty() && name == name.filename() && name != "." && name != "..") return;
  field.fail(fmt::format("is \"{}\"; a shard is a file beside the index", field.text()));
}

}  // namespace

TensorFolder::TensorFolder(const fs::path& folder) : path_(folder.string()) {
  if (fs::exists(folder / kSingleFile)) {
    add(files_.emplace_back(folder / kSingleFile));
  } else if (fs::exists(folder / kIndexFile)) {
    open_shards(folder);
  } else {
    refuse_without_tensors(folder);
  }
}

void TensorFolder::open_shards(const fs::path& folder) {
  const JsonFile index = read_json_file(folder / kIndexFile);
  const auto entries = index.root().at("weight_map").members();
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : entries) {
    check_shard_name(shard);
    if (!shards.insert(shard.text()).second) continue;
    if (!fs::exists(folder / shard.text())) {
      throw ImportError(fmt::format("{}: shard {}, which {} names for tensor {}, is not there",
                                    path_, shard.text(), kIndexFile, tensor));
    }
    add(files_.emplace_back(folder / shard.text()));
  }
  for (const auto& [tensor, shard] : entries) {
    const SafeTensor* found = find(tensor);
    if (found != nullptr && fs::path(found->file).filename() == shard.text()) continue;
    throw ImportError(fmt::format("{}: tensor {} is not in {}, where {} has it", path_, tensor,
                                  shard.text(), kIndexFile));
  }
}

void TensorFolder::add(const SafetensorsFile& file) {
  for (const auto& [name, tensor] : file.tensors()) {
    const auto [other, is_new] = tensors_.emplace(name, &tensor);
    if (!is_new) {
      throw ImportError(
          fmt::format("tensor {} is in {} and in {}", name, other->second->file, tensor.file));
    }
  }
}

const SafeTensor* TensorFolder::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

const SafeTensor& TensorFolder::at(std::string_view name) const {
  const SafeTensor* found = find(name);
  if (found != nullptr) return *found;
  throw ImportError(fmt::format("{}: tensor {} is missing", path_, name));
}

}  // namespace nbl::compiler::hf
