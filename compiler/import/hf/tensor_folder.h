// The safetensors of a model folder: one file, or shards under an index.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "compiler/import/hf/safetensors.h"

namespace nbl::compiler::hf {

inline constexpr const char* kSingleFile = "model.safetensors";
inline constexpr const char* kIndexFile = "model.safetensors.index.json";

class TensorFolder {
 public:
  // Errors  ImportError: neither file is there, a shard or a tensor of the index is missing, a
  //         tensor is in two shards, or a file is malformed.
  explicit TensorFolder(const std::filesystem::path& folder);

  const std::string& path() const { return path_; }

  // Borrows  the folder's mappings.
  const std::map<std::string, const SafeTensor*, std::less<>>& tensors() const { return tensors_; }
  const SafeTensor* find(std::string_view name) const;
  // Errors  ImportError: it is missing.
  const SafeTensor& at(std::string_view name) const;

 private:
  void open_shards(const std::filesystem::path& folder);
  void add(const SafetensorsFile& file);

  std::string path_;
  std::deque<SafetensorsFile> files_;
  std::map<std::string, const SafeTensor*, std::less<>> tensors_;
};

}  // namespace nbl::compiler::hf
