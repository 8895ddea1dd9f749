// The pipeline cache hooks of nbl_config, kept in a file.
#pragma once

#include <cstddef>
#include <string>

namespace nbl::tools {

// Set `load` and `store` as cache_load and cache_store with a pointer to a CacheFile as `user`. A
// file that is absent, unreadable or too large counts as no cache; one that cannot be written is
// reported on standard error and nothing else: the cache only saves time.
class CacheFile {
 public:
  explicit CacheFile(std::string path) : path_(std::move(path)) {}

  static size_t load(void* user, void* data, size_t size);
  static void store(void* user, const void* data, size_t size);

 private:
  std::string path_;
};

}  // namespace nbl::tools
