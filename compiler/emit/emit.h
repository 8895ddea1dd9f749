// Graph -> model file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/emit/graph_buffer.h"
#include "compiler/graph/graph.h"
#include "compiler/quantize/q4.h"
#include "rt/model/file.h"

namespace nbl::compiler {

// Called before each weight: its name, and how much of all weights is done (0..1).
using Progress = std::function<void(const std::string& tensor, double done)>;

struct EmitOptions {
  uint32_t group_size = 32;
  const ChatFormat* chat = nullptr;
  Quantizer quantizer = Quantizer::search;
  Metadata metadata = {};
  Progress progress = {};  // may be empty
};

// A segment that would be stored more than once without sharing.
struct SharedSegment {
  std::string name;
  std::vector<std::string> readers;  // ops
  uint64_t saved_bytes = 0;
};

// A matrix as the file has it.
struct MatrixReport {
  std::string name;
  uint32_t rows = 0;
  uint32_t columns = 0;
  Q4Format format = {};
  Q4Error quantization = {};
};

struct EmitReport {
  uint64_t file_bytes = 0;
  uint64_t weight_bytes = 0;  // in segments
  uint64_t shared_bytes = 0;  // that would have been stored again without sharing
  std::vector<SharedSegment> shared = {};
  size_t segment_count = 0;
  Q4Error quantization = {};  // of all matrices
  std::vector<MatrixReport> matrices = {};
};

// The header of a file whose graph follows it.
FileHeader file_header(std::span<const std::byte> graph, uint64_t file_bytes);

// Writes the model: quantizes the weights one at a time, so that no more than one of them is in
// memory, stores equal segments once, and puts header and FlatBuffer in front.
//
// Layout   rt/model/file.h; segments in the order in which ops first read them, the nibbles of a
//          weight before its scales; the file ends on a page. The bytes depend on the arguments
//          alone.
// Errors   CompileError, ImportError; `path` is then as it was.
EmitReport emit(const Graph& graph, const TokenizerData* tokenizer, const EmitOptions& options,
                const std::filesystem::path& path);

}  // namespace nbl::compiler
