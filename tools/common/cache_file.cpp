#include "tools/common/cache_file.h"

#include <cstdio>
#include <fstream>

namespace nbl::tools {

size_t CacheFile::load(void* user, void* data, size_t size) {
  const auto& self = *static_cast<const CacheFile*>(user);
  std::ifstream file(self.path_, std::ios::binary | std::ios::ate);
  if (!file) return 0;
  const std::streamoff length = file.tellg();
  if (length <= 0 || static_cast<size_t>(length) > size) return 0;
  file.seekg(0);
  file.read(static_cast<char*>(data), length);
  return file ? static_cast<size_t>(length) : 0;
}

void CacheFile::store(void* user, const void* data, size_t size) {
  const auto& self = *static_cast<const CacheFile*>(user);
  // Renamed into place, so that a crash leaves the old cache or the new one.
  const std::string partial = self.path_ + ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  file.close();
  if (!file || std::rename(partial.c_str(), self.path_.c_str()) != 0) {
    std::remove(partial.c_str());
    std::fprintf(stderr, "warning: the pipeline cache %s cannot be written\n", self.path_.c_str());
  }
}

}  // namespace nbl::tools
