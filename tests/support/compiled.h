// Model files made by the compiler, in memory.
#pragma once

#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include "compiler/chat/chat_format.h"
#include "compiler/compile.h"
#include "tests/support/aligned_bytes.h"
#include "tests/support/temp_file.h"

namespace nbl::test {

struct BuildOptions {
  compiler::PassOptions passes = {};
  uint32_t group_size = 32;
  uint32_t context = 64;
  uint32_t prefill_chunk = 8;
  DType cache = DType::f16;
  std::function<void(compiler::Graph*)> edit = {};  // of the finished graph
};

// The model file of a checkpoint.
inline AlignedBytes build_model(const compiler::Checkpoint& checkpoint,
                                const BuildOptions& options = {}) {
  compiler::Graph graph = compiler::make_graph(checkpoint, options.context, options.prefill_chunk,
                                               options.passes, options.cache);
  if (options.edit) options.edit(&graph);
  const TempFile file("", ".nbl");
  std::optional<compiler::TokenizerData> tokenizer = checkpoint.tokenizer;
  compiler::ChatChoice chat;
  if (tokenizer) chat = compiler::choose_chat("", &*tokenizer, &graph.stop_tokens);
  compiler::emit(graph, tokenizer ? &*tokenizer : nullptr,
                 {.group_size = options.group_size, .chat = chat.format ? &*chat.format : nullptr},
                 file.path());
  return read_file(file.path());
}

}  // namespace nbl::test
