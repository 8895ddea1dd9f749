// Temperatures that the kernel exposes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nbl::tools {

struct Temperature {
  std::string zone;  // "cpu-thermal"
  double celsius = 0;
};

// class/thermal/thermal_zone* below the folder, by name of the zones' folders; a zone that cannot
// be read is left out.
//
// Units   sys: where the kernel's folder lies, "/sys".
std::vector<Temperature> read_temperatures(const std::filesystem::path& sys);

}  // namespace nbl::tools
