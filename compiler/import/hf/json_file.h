// The JSON files of a model folder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "compiler/import/json_field.h"

namespace nbl::compiler::hf {

// A document and the file's name for its errors.
//
// Borrows  root() and what it gives, while the document lives and is not moved.
struct JsonFile {
  std::string path;
  nlohmann::json value;

  // Its place is the file's name: "config" for config.json.
  JsonField root() const { return {path, value, std::filesystem::path(path).stem().string()}; }
};

// Larger than any published tokenizer.json by far.
inline constexpr size_t kMaxJsonBytes = size_t{1} << 29;

// Errors  ImportError: no file, too large, no JSON, or no object.
JsonFile read_json_file(const std::filesystem::path& path);

// Errors  ImportError: `text` is no JSON object, or names a member of it twice.
nlohmann::json parse_object(const std::string& source, std::string_view text);

// A whole number in least..most.
//
// Errors  ImportError: names the place, the value and the limits.
uint32_t whole_number(const JsonField& field, uint32_t least, uint32_t most);

// The member `key`, or `otherwise` where it is absent or null.
uint32_t whole_number_or(const JsonField& object, std::string_view key, uint32_t otherwise);
double real_or(const JsonField& object, std::string_view key, double otherwise);
bool flag_or(const JsonField& object, std::string_view key, bool otherwise);
std::string text_or(const JsonField& object, std::string_view key, std::string_view otherwise);

}  // namespace nbl::compiler::hf
