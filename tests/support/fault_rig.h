// What the tests under tests/faults share: a model of a few KB, the machine's Vulkan, an arena, and
// a run through the C API that stops at the first failure.
#pragma once

#include <string>
#include <vector>

#include "compiler/import/gguf_writer.h"
#include "rt/nibble.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/exact_arena.h"
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

inline nbl_config fault_config(const AlignedBytes& model) {
  nbl_config config = small_config(model);
  config.get_instance_proc_addr = vulkan_entry();
  return config;
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
