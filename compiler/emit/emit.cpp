#include "compiler/emit/emit.h"

#include <fmt/format.h>

#include <cstring>

#include "compiler/error.h"
#include "rt/base/checked.h"
#include "rt/base/crc32.h"

namespace nbl::compiler {
namespace {

uint64_t data_bytes(const GraphTensor& tensor, const Q4Format& format) {
  if (is_quantized(tensor.dtype)) return format.data_bytes(tensor.shape[0], tensor.shape[1]);
  if (tensor.shape.size() == 1) return uint64_t{row_stride(tensor.shape[0])} * sizeof(float);
  return uint64_t{tensor.shape[0]} * tensor.shape[1] * sizeof(float);
}

uint64_t scale_bytes(const GraphTensor& tensor, const Q4Format& format) {
  return is_quantized(tensor.dtype) ? format.scale_bytes(tensor.shape[0], tensor.shape[1]) : 0;
}

std::string scales_name(const GraphTensor& tensor) {
  return tensor.name + ".scales";
}

// The FlatBuffer as it would be without any sharing: no later one for this graph is larger.
size_t largest_graph_bytes(GraphBuffer model) {
  const auto place = [&](const std::string& name) {
    model.segments.push_back({.offset = 1, .size = 1, .sha256 = {}, .name = name});
    return static_cast<int32_t>(model.segments.size()) - 1;
  };
  for (size_t i = 0; i < model.places.size(); ++i) {
    const GraphTensor& tensor = model.graph->tensors[i];
    if (tensor.role != Role::weight) continue;
    model.places[i].data = place(tensor.name);
    if (is_quantized(tensor.dtype)) model.places[i].scales = place(scales_name(tensor));
  }
  return graph_bytes(model).size();
}

RowSource rows_of(const GraphTensor& tensor) {
  RowSource rows = constant_rows(*tensor.constant);
  if (rows.rows != tensor.shape[0] || rows.columns != tensor.shape[1]) {
    throw CompileError(fmt::format("weight {} has shape [{}, {}]; the graph wants [{}, {}]",
                                   tensor.name, rows.rows, rows.columns, tensor.shape[0],
                                   tensor.shape[1]));
  }
  return rows;
}

TensorSegments write_quantized(const GraphTensor& tensor, const EmitOptions& options,
                               SegmentWriter* segments, EmitReport* report) {
  Q4Error cost;
  const Q4Matrix matrix = quantize_q4(rows_of(tensor), options.group_size, &cost, 0,
                                      {.layout = tensor.layout(), .quantizer = options.quantizer});
  report->quantization.add(cost);
  report->matrices.push_back({tensor.name, matrix.rows, matrix.columns, matrix.format, cost});
  const int32_t data = segments->add(tensor.name, std::as_bytes(std::span(matrix.words)));
  return {data, segments->add(scales_name(tensor), matrix.scale_bytes()), matrix.format};
}

TensorSegments write_f32(const GraphTensor& tensor, SegmentWriter* segments) {
  std::vector<float> values = constant_values(*tensor.constant);
  const size_t wanted =
      tensor.shape.size() == 1 ? tensor.shape[0] : size_t{tensor.shape[0]} * tensor.shape[1];
  if (values.size() != wanted) {
    throw CompileError(fmt::format("weight {} has {} values; the graph wants {}", tensor.name,
                                   values.size(), wanted));
  }
  // Kernels read whole blocks of a vector.
  if (tensor.shape.size() == 1) values.resize(row_stride(tensor.shape[0]), 0.0f);
  return {segments->add(tensor.name, std::as_bytes(std::span(values))), kAbsent, {}};
}

void write_weights(GraphBuffer* model, const EmitOptions& options, SegmentWriter* segments,
                   EmitReport* report) {
  const Progress& progress = options.progress;
  uint64_t total = 0;
  uint64_t done = 0;
  const auto bytes = [&](size_t i) {
    const GraphTensor& tensor = model->graph->tensors[i];
    const Q4Format& format = model->places[i].format;
    return data_bytes(tensor, format) + scale_bytes(tensor, format);
  };
  for (size_t i = 0; i < model->places.size(); ++i) {
    if (model->graph->tensors[i].role == Role::weight) total += bytes(i);
  }
  for (size_t i = 0; i < model->places.size(); ++i) {
    const GraphTensor& tensor = model->graph->tensors[i];
    if (tensor.role != Role::weight) continue;
    if (progress) progress(tensor.name, static_cast<double>(done) / static_cast<double>(total));
    model->places[i] = is_quantized(tensor.dtype)
                           ? write_quantized(tensor, options, segments, report)
                           : write_f32(tensor, segments);
    done += bytes(i);
  }
  if (progress) progress("", 1.0);
}

// One entry a segment, with the ops that read it; matrices count once a reader, as each could have
// had its own, vectors once a tensor.
std::vector<SharedSegment> count_readers(const GraphBuffer& model) {
  const Graph& graph = *model.graph;
  std::vector<SharedSegment> segments(model.segments.size());
  std::vector<size_t> uses(model.segments.size());
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    if (graph.tensors[i].role != Role::weight) continue;
    const std::vector<size_t> users = graph.users(static_cast<int32_t>(i));
    for (const int32_t index : {model.places[i].data, model.places[i].scales}) {
      if (index < 0) continue;
      const auto at = static_cast<size_t>(index);
      uses[at] += is_quantized(graph.tensors[i].dtype) ? users.size() : 1;
      for (const size_t user : users)
        segments[at].readers.push_back(graph.ops[user].name);
    }
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    segments[i].name = model.segments[i].name;
    segments[i].saved_bytes = uses[i] > 1 ? (uses[i] - 1) * model.segments[i].size : 0;
  }
  std::erase_if(segments, [](const SharedSegment& segment) { return segment.saved_bytes == 0; });
  return segments;
}

}  // namespace

FileHeader file_header(std::span<const std::byte> graph, uint64_t file_bytes) {
  FileHeader header{};
  std::memcpy(header.magic, kFileMagic, sizeof kFileMagic);
  header.version = kFileVersion;
  header.header_bytes = sizeof header;
  header.file_bytes = file_bytes;
  header.graph_offset = sizeof header;
  header.graph_bytes = graph.size();
  header.graph_crc32 = crc32(graph);
  header.header_crc32 =
      crc32(std::as_bytes(std::span(&header, 1)).first(offsetof(FileHeader, header_crc32)));
  return header;
}

EmitReport emit(const Graph& graph, const TokenizerData* tokenizer, const EmitOptions& options,
                const std::filesystem::path& path) {
  GraphBuffer model{.graph = &graph,
                    .tokenizer = tokenizer,
                    .chat = options.chat,
                    .metadata = &options.metadata,
                    .places = std::vector<TensorSegments>(graph.tensors.size()),
                    .segments = {}};
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    const GraphTensor& tensor = graph.tensors[i];
    if (!is_quantized(tensor.dtype)) continue;
    model.places[i].format = q4_format_of(rows_of(tensor), options.group_size, tensor.layout());
  }
  const uint64_t reserved = sizeof(FileHeader) + largest_graph_bytes(model);
  OutputFile file(path);
  SegmentWriter segments(&file, reserved);
  EmitReport report;
  write_weights(&model, options, &segments, &report);
  model.segments = segments.segments();
  const std::vector<std::byte> bytes = graph_bytes(model);
  if (sizeof(FileHeader) + bytes.size() > reserved) {
    throw CompileError("the graph does not fit the space kept for it in the file");
  }
  // Whole pages, so that the last segment can be imported where it lies.
  const uint64_t file_bytes = align_up(segments.end(), kSegmentAlignBytes);
  file.resize(file_bytes);
  const FileHeader header = file_header(bytes, file_bytes);
  file.write_at(0, std::as_bytes(std::span(&header, 1)));
  file.write_at(sizeof header, bytes);
  file.commit();
  report.file_bytes = file_bytes;
  report.shared = count_readers(model);
  for (const SharedSegment& segment : report.shared)
    report.shared_bytes += segment.saved_bytes;
  report.segment_count = model.segments.size();
  for (const SegmentInfo& segment : model.segments)
    report.weight_bytes += segment.size;
  return report;
}

}  // namespace nbl::compiler
