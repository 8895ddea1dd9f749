// What fuzzers start from: small right inputs, made by the writers that the other tests use.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace nbl::fuzz {

class SeedFolder {
 public:
  explicit SeedFolder(const std::filesystem::path& path) : path_(path) {
    std::filesystem::create_directories(path);
  }
  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  }

 private:
  std::filesystem::path path_;
};

void write_model_seeds(const SeedFolder& folder);  // .nbl
void write_state_seeds(const SeedFolder& folder);  // of state_model()
void write_text_seeds(const SeedFolder& folder);
void write_gguf_seeds(const SeedFolder& folder);       // and split ones, in zip archives
void write_folder_seeds(const SeedFolder& folder);     // zip archives of model folders
void write_program_seeds(const SeedFolder& folder);    // .pt2
void write_tokenizer_seeds(const SeedFolder& folder);  // tokenizer.json and the other vocabularies

}  // namespace nbl::fuzz
