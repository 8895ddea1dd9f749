// From nbl_open() to the first token.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rt/nibble.h"

namespace nbl::tools {

// The pipeline cache hooks of nbl_config, kept in memory: set load and store as cache_load and
// cache_store with a pointer to a MemoryCache as `user`.
struct MemoryCache {
  std::vector<std::byte> blob;

  static size_t load(void* user, void* data, size_t size);
  static void store(void* user, const void* data, size_t size);
};

// In seconds.
struct StartTimes {
  std::vector<double> no_cache;
  std::vector<double> with_cache;
  size_t cache_bytes = 0;  // 0: the driver gave none, or one without room: both are the same start
};

// Opens, evaluates one token, reads the next and closes, without a cache and with the one that this
// left, in turn. One start before them is not counted: it loads the driver and the model's pages.
//
// Borrows  config's model. Its hooks are replaced.
// Errors   Failure with the runtime's sentence.
StartTimes measure_start(nbl_config config, uint32_t repetitions);

// A table; empty where nothing was measured.
std::string start_table(const StartTimes& times);

}  // namespace nbl::tools
