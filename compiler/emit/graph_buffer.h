// The FlatBuffer of a model file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "compiler/chat/chat_format.h"
#include "compiler/emit/segments.h"
#include "compiler/graph/graph.h"
#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

using Metadata = std::vector<std::pair<std::string, std::string>>;

// Where the values of one tensor lie; -1 = none.
struct TensorSegments {
  int32_t data = -1;
  int32_t scales = -1;
  Q4Format format = {};  // q4, q8
};

struct GraphBuffer {
  const Graph* graph;
  const TokenizerData* tokenizer;  // may be null
  const ChatFormat* chat;          // may be null
  const Metadata* metadata;
  std::vector<TensorSegments> places;  // one a tensor
  std::vector<SegmentInfo> segments;
};

// The bytes depend on nothing but the arguments. Their number does not depend on the values of
// segment offsets, sizes and hashes, as long as offsets and sizes are not 0.
//
// Shapes   places has one element a tensor of the graph.
// Borrows  everything, during the call.
std::vector<std::byte> graph_bytes(const GraphBuffer& model);

}  // namespace nbl::compiler
