// What the tests under tests/faults share: a model of a few KB, the machine's Vulkan, an arena, and
// a run through the C API that stops at the first failure.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "compiler/import/gguf_writer.h"
#include "rt/nibble.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/small_llama.h"

namespace nbl::test {

// One layer, 400 tokens, fused; with a tokenizer the graph is mostly its tables.
inline AlignedBytes tiny_model(bool tokenizer) {
  compiler::Checkpoint checkpoint = small_llama({.dim = 64,
                                                 .layers = 1,
                                                 .heads = 4,
                                                 .kv_heads = 2,
                                                 .head_dim = 16,
                                                 .ffn = 96,
                                                 .vocab = 400,
                                                 .context = 64});
  if (tokenizer) checkpoint.tokenizer = compiler::synthetic_vocabulary(380);
  return build_model(checkpoint);
}

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

inline nbl_config fault_config(const AlignedBytes& model) {
  nbl_config config = {};
  config.get_instance_proc_addr = vulkan_entry();
  config.model = model.span().data();
  config.model_bytes = model.size;
  config.max_burst = 4;
  config.timeout_ms = 20000;
  config.context = 24;  // so that short_story() has to slide
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

// A prompt longer than a prefill chunk, bursts past the end of the context, and a state that is
// saved and gone back to. Writes the tokens that came.
inline nbl_status short_story(nbl_engine* engine, std::vector<uint32_t>* tokens, nbl_error* error) {
  const std::vector<uint32_t> prompt = {1, 300, 17, 5, 220, 9, 31, 44, 2, 399, 12};
  nbl_status status =
      nbl_evaluate(engine, prompt.data(), static_cast<uint32_t>(prompt.size()), error);
  if (status != 0) return status;
  constexpr uint32_t kFirst = 16, kAll = 20;
  tokens->resize(kAll);
  uint32_t count = 0;
  status = nbl_generate(engine, kFirst, tokens->data(), &count, error);
  if (status != 0) return status;
  std::vector<std::byte> state(nbl_state_bytes(engine));
  size_t bytes = 0;
  status = nbl_save_state(engine, state.data(), state.size(), &bytes, error);
  if (status == 0) status = nbl_load_state(engine, state.data(), bytes, error);
  if (status != 0) return status;
  return nbl_generate(engine, kAll - kFirst, tokens->data() + kFirst, &count, error);
}

}  // namespace nbl::test
