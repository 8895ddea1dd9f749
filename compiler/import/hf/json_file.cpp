#include "compiler/import/hf/json_file.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "compiler/import/checkpoint.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler::hf {

nlohmann::json parse_object(const std::string& source, std::string_view text) {
  std::set<std::string> names;
  const auto note_name = [&](int depth, nlohmann::json::parse_event_t event,
                             const nlohmann::json& name) {
    if (event != nlohmann::json::parse_event_t::key || depth != 1) return true;
    if (!names.insert(name.get<std::string>()).second) {
      throw ImportError(fmt::format("{}: has \"{}\" twice", source, name.get<std::string>()));
    }
    return true;
  };
  nlohmann::json value;
  try {
    value = nlohmann::json::parse(text.begin(), text.end(), note_name);
  } catch (const nlohmann::json::exception& error) {
    throw ImportError(fmt::format("{}: is not JSON: {}", source, error.what()));
  }
  if (!value.is_object()) {
    throw ImportError(fmt::format("{}: is {}, not an object", source, value.type_name()));
  }
  return value;
}

JsonFile read_json_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  if (file.bytes().size() > kMaxJsonBytes) {
    throw ImportError(fmt::format("{}: has {} bytes; at most {} are read", path.string(),
                                  file.bytes().size(), kMaxJsonBytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  return {path.string(), parse_object(path.string(), text)};
}

uint32_t whole_number(const JsonField& field, uint32_t least, uint32_t most) {
  const int64_t value = field.integer();
  if (value < least || value > most) {
    field.fail(fmt::format("is {}; it must lie in {}..{}", value, least, most));
  }
  return static_cast<uint32_t>(value);
}

uint32_t whole_number_or(const JsonField& object, std::string_view key, uint32_t otherwise) {
  constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
  return object.has(key) ? whole_number(object.at(key), 0, kMost) : otherwise;
}

double real_or(const JsonField& object, std::string_view key, double otherwise) {
  return object.has(key) ? object.at(key).real() : otherwise;
}

bool flag_or(const JsonField& object, std::string_view key, bool otherwise) {
  return object.has(key) ? object.at(key).flag() : otherwise;
}

std::string text_or(const JsonField& object, std::string_view key, std::string_view otherwise) {
  return object.has(key) ? object.at(key).text() : std::string(otherwise);
}

}  // namespace nbl::compiler::hf
