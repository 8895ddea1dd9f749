#include "compiler/emit/graph_buffer.h"

#include <cstring>

#include "compiler/emit/tokenizer_tables.h"
#include "schema_generated.h"

namespace nbl::compiler {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

template <typename Enum, size_t N>
const char* name_of(const std::string_view (&names)[N], Enum value) {
  return names[static_cast<size_t>(value)].data();
}

Offset<fb::Segment> pack(FlatBufferBuilder& builder, const SegmentInfo& segment) {
  const auto hash = builder.CreateVector(segment.sha256.data(), segment.sha256.size());
  const auto name = builder.CreateString(segment.name);
  return fb::CreateSegment(builder, segment.offset, segment.size, hash, name);
}

Offset<fb::Tensor> pack(FlatBufferBuilder& builder, const GraphTensor& tensor,
                        const TensorSegments& place) {
  const bool quantized = is_quantized(tensor.dtype);
  const Layout layout = quantized ? place.format.layout : Layout::row_major;
  const auto name = builder.CreateString(tensor.name);
  const auto role = builder.CreateSharedString(name_of(kRoleNames, tensor.role));
  const auto dtype = builder.CreateSharedString(name_of(kDTypeNames, tensor.dtype));
  const auto layout_name = builder.CreateSharedString(name_of(kLayoutNames, layout));
  const auto shape = builder.CreateVector(tensor.shape);
  // f16 is what an absent field means.
  Offset<flatbuffers::String> scales;
  if (quantized && place.format.f32_scales) {
    scales = builder.CreateSharedString(name_of(kDTypeNames, DType::f32));
  }
  return fb::CreateTensor(builder, name, role, dtype, layout_name, shape,
                          quantized ? place.format.group_size : 0, place.data, place.scales,
                          scales);
}

Offset<fb::Op> pack(FlatBufferBuilder& builder, const GraphOp& op) {
  const auto kind = builder.CreateSharedString(name_of(kOpKindNames, op.kind));
  const auto name = builder.CreateString(op.name);
  const auto inputs = builder.CreateVector(op.inputs);
  const auto outputs = builder.CreateVector(op.outputs);
  // Ops of other kinds leave the function out.
  Offset<flatbuffers::String> function;
  if (op.function != Function::none) {
    function = builder.CreateSharedString(name_of(kFunctionNames, op.function));
  }
  return fb::CreateOp(builder, kind, name, inputs, outputs, op.eps, op.scale, op.heads, op.kv_heads,
                      op.head_dim, op.rotary_dim, op.rope_half, op.swiglu, op.last_row, function,
                      op.alpha, op.offset, op.window, op.softcap, op.full);
}

Offset<fb::Tokenizer> pack(FlatBufferBuilder& builder, const TokenizerData& tokenizer) {
  const TokenizerVectors tables = tokenizer_vectors(tokenizer);
  checked_tables(tokenizer, tables);  // no device would take the model otherwise
  const bool bpe = tokenizer.kind == TokenizerKind::bpe;
  const auto vector_of = [&](const std::vector<uint32_t>& values) {
    return bpe ? builder.CreateVector(values) : Offset<flatbuffers::Vector<uint32_t>>();
  };
  const auto kind = builder.CreateString(name_of(kTokenizerKindNames, tokenizer.kind));
  const auto pieces = builder.CreateVector(tables.pieces);
  const auto offsets = builder.CreateVector(tables.offsets);
  const auto scores = builder.CreateVector(tables.scores);
  const auto types = builder.CreateVector(tables.types);
  const auto sorted = builder.CreateVector(tables.sorted);
  const auto bytes = builder.CreateVector(tables.byte_tokens.data(), tables.byte_tokens.size());
  const auto splitter = bpe ? builder.CreateString(name_of(kSplitterNames, tokenizer.splitter))
                            : Offset<flatbuffers::String>();
  const auto first = vector_of(tables.merge_first);
  const auto right = vector_of(tables.merge_right);
  const auto result = vector_of(tables.merge_result);
  const auto rank = vector_of(tables.merge_rank);
  return fb::CreateTokenizer(builder, kind, pieces, offsets, scores, types, sorted, bytes,
                             tokenizer.bos, tokenizer.eos, tokenizer.unknown, tokenizer.add_bos,
                             tokenizer.add_space_prefix, splitter, first, right, result, rank,
                             tokenizer.whole_words);
}

Offset<fb::KeyValue> pack(FlatBufferBuilder& builder,
                          const std::pair<std::string, std::string>& entry) {
  const auto key = builder.CreateString(entry.first);
  const auto value = builder.CreateString(entry.second);
  return fb::CreateKeyValue(builder, key, value);
}

}  // namespace

std::vector<std::byte> graph_bytes(const GraphBuffer& model) {
  FlatBufferBuilder builder(1 << 16);
  const Graph& graph = *model.graph;
  std::vector<Offset<fb::Segment>> segments;
  std::vector<Offset<fb::Tensor>> tensors;
  std::vector<Offset<fb::Op>> ops;
  std::vector<Offset<fb::KeyValue>> metadata;
  for (const SegmentInfo& segment : model.segments)
    segments.push_back(pack(builder, segment));
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    tensors.push_back(pack(builder, graph.tensors[i], model.places[i]));
  }
  for (const GraphOp& op : graph.ops)
    ops.push_back(pack(builder, op));
  for (const auto& entry : *model.metadata)
    metadata.push_back(pack(builder, entry));
  Offset<fb::Tokenizer> tokenizer;
  if (model.tokenizer != nullptr) tokenizer = pack(builder, *model.tokenizer);
  const auto name = builder.CreateString(graph.name);
  const auto architecture = builder.CreateString(graph.architecture);
  const auto stop_tokens = builder.CreateVector(graph.stop_tokens);
  const auto segment_vector = builder.CreateVector(segments);
  const auto tensor_vector = builder.CreateVector(tensors);
  const auto op_vector = builder.CreateVector(ops);
  const auto metadata_vector = builder.CreateVector(metadata);
  Offset<flatbuffers::Vector<Offset<flatbuffers::String>>> chat_texts;
  if (model.chat != nullptr) {
    chat_texts = builder.CreateVectorOfStrings(model.chat->texts.begin(), model.chat->texts.end());
  }
  const auto root = fb::CreateModel(
      builder, name, architecture, graph.vocab_size, graph.context_length, graph.prefill_chunk,
      stop_tokens, segment_vector, tensor_vector, op_vector, tokenizer, metadata_vector,
      Offset<fb::Prefix>(), chat_texts, model.chat != nullptr ? model.chat->flags : 0);
  fb::FinishModelBuffer(builder, root);
  std::vector<std::byte> bytes(builder.GetSize());
  std::memcpy(bytes.data(), builder.GetBufferPointer(), bytes.size());
  return bytes;
}

}  // namespace nbl::compiler
