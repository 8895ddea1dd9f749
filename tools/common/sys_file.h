// Small text files of the kernel's, below /sys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nbl::tools {

// The first line; nothing where it cannot be read or is empty.
std::optional<std::string> sys_text(const std::filesystem::path& file);

// The first line where it is a whole number and nothing else.
std::optional<uint64_t> sys_number(const std::filesystem::path& file);

// The folders, and links to such, in a folder, by name; none where it cannot be read.
std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder);

}  // namespace nbl::tools
