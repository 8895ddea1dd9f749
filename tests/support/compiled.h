// Model files made by the compiler, in memory.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/chat/chat_format.h"
#include "compiler/compile.h"
#include "tests/support/temp_file.h"

namespace nbl::test {

// A whole file as 64-byte aligned bytes, as load() wants them.
struct AlignedBytes {
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> lines;
  size_t size = 0;

  std::span<const std::byte> span() const {
    return {reinterpret_cast<const std::byte*>(lines.data()), size};
  }
  std::span<std::byte> span() { return {reinterpret_cast<std::byte*>(lines.data()), size}; }
};

inline AlignedBytes read_file(const std::filesystem::path& path) {
  AlignedBytes file;
  file.size = std::filesystem::file_size(path);
  file.lines.resize((file.size + 63) / 64);
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(file.lines.data()), static_cast<std::streamsize>(file.size));
  return file;
}

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
