// An engine's config with an arena of exactly what it needs.
#pragma once

#include <cstdlib>
#include <memory>

#include "rt/nibble.h"
#include "tests/support/aligned_bytes.h"

namespace nbl::test {

// Exactly `size` bytes at a multiple of 64, so that AddressSanitizer sees the byte after them.
struct ExactBytes {
  explicit ExactBytes(size_t bytes) : size(bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, bytes) == 0) data.reset(static_cast<std::byte*>(memory));
  }
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> data;
  size_t size;
};

// For models of a few KB, without an entry to Vulkan.
inline nbl_config small_config(const AlignedBytes& model) {
  nbl_config config = {};
  config.model = model.span().data();
  config.model_bytes = model.size;
  config.max_burst = 4;
  config.timeout_ms = 20000;
  config.context = 24;  // so that a story of 20 tokens has to slide
  config.on_full = NBL_ON_FULL_SLIDE;
  return config;
}

// Points the config to an arena of exactly what it needs.
inline nbl_status give_arena(nbl_config* config, ExactBytes* arena, nbl_memory* memory,
                             nbl_error* error) {
  const ExactBytes probe(size_t{16} << 20);
  config->arena = probe.data.get();
  config->arena_bytes = probe.size;
  const nbl_status status = nbl_memory_needed(config, memory, error);
  if (status != 0) return status;
  *arena = ExactBytes(memory->host_bytes);
  config->arena = arena->data.get();
  config->arena_bytes = arena->size;
  return 0;
}

}  // namespace nbl::test
