// Checkpoint -> model file: what `nibblec compile` does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compiler/emit/emit.h"
#include "compiler/passes/passes.h"

namespace nbl::compiler {

// Without a request the KV state has room for this many positions, or the checkpoint's where that
// is less: long contexts are seldom used on small devices, and the state is memory.
inline constexpr uint32_t kDefaultContext = 2048;

inline constexpr uint32_t kDefaultPrefillChunk = 64;

struct CompileOptions {
  std::filesystem::path input;
  std::filesystem::path output;
  std::filesystem::path tokenizer = {};  // empty: the checkpoint's own
  std::string chat = {};                 // family of the chat template; empty: by its content
  uint32_t group_size = 32;
  Quantizer quantizer = Quantizer::search;
  std::filesystem::path calibrate = {};  // a text to measure what weights meet; empty: all alike
  uint32_t context = 0;                  // 0: the default
  uint32_t prefill_chunk = kDefaultPrefillChunk;
  DType cache = DType::f16;       // of keys and values: f16, f32 or i8
  std::string tokens_input = {};  // of an exported program; empty: found by what they feed
  std::string position_input = {};
  PassOptions passes = {};
  Progress progress = {};
};

struct CompileReport {
  EmitReport emitted;
  Hyper hyper;
  uint32_t context = 0;
  size_t op_count = 0;
  std::string chat;                   // family, or empty
  std::vector<std::string> notes;     // one sentence each, of interest
  std::vector<std::string> warnings;  // one sentence each, of concern
};

// Errors  ImportError, CompileError: one sentence; the output file is then as it was.
CompileReport compile(const CompileOptions& options);

// The graph of a checkpoint after its passes.
//
// Borrows  the checkpoint's tensors, while the graph is in use.
Graph make_graph(const Checkpoint& checkpoint, uint32_t context, uint32_t prefill_chunk,
                 const PassOptions& passes, DType cache = DType::f16);

}  // namespace nbl::compiler
