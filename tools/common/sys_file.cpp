#include "tools/common/sys_file.h"

#include <algorithm>
#include <charconv>
#include <fstream>

namespace nbl::tools {

std::optional<std::string> sys_text(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line) || line.empty()) return std::nullopt;
  return line;
}

std::optional<uint64_t> sys_number(const std::filesystem::path& file) {
  const std::optional<std::string> text = sys_text(file);
  if (!text) return std::nullopt;
  uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stopped, failed] = std::from_chars(text->data(), end, value);
  if (failed != std::errc() || stopped != end) return std::nullopt;
  return value;
}

std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> all;
  std::error_code failed;
  for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed)) {
    std::error_code ignored;
    if (at->is_directory(ignored)) all.push_back(at->path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace nbl::tools
