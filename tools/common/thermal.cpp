#include "tools/common/thermal.h"

#include <charconv>

#include "tools/common/sys_file.h"

namespace nbl::tools {

std::vector<Temperature> read_temperatures(const std::filesystem::path& sys) {
  std::vector<Temperature> all;
  for (const auto& folder : folders_in(sys / "class/thermal")) {
    const std::string folder_name = folder.filename().string();
    if (!folder_name.starts_with("thermal_zone")) continue;
    const std::optional<std::string> text = sys_text(folder / "temp");
    if (!text) continue;
    int32_t thousandths = 0;
    const char* const end = text->data() + text->size();
    const auto [stopped, failed] = std::from_chars(text->data(), end, thousandths);
    if (failed != std::errc() || stopped != end) continue;
    all.push_back({sys_text(folder / "type").value_or(folder_name), thousandths / 1000.0});
  }
  return all;
}

}  // namespace nbl::tools
