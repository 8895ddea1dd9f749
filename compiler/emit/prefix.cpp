#include "compiler/emit/prefix.h"

#include <memory>

#include "compiler/emit/emit.h"
#include "compiler/emit/segments.h"
#include "object/schema_generated.h"
#include "rt/base/checked.h"
#include "rt/base/sha256.h"

namespace nbl::compiler {
namespace {

std::unique_ptr<fb::SegmentT> rows_segment(std::span<const std::byte> rows) {
  auto segment = std::make_unique<fb::SegmentT>();
  Sha256Digest digest{};
  sha256(rows, &digest);
  segment->sha256.assign(digest.begin(), digest.end());
  segment->size = rows.size();
  segment->name = "prefix";
  segment->offset = kSegmentAlignBytes;  // until it is known; 0 would not be stored
  return segment;
}

std::vector<std::byte> pack(const fb::ModelT& model) {
  flatbuffers::FlatBufferBuilder builder;
  fb::FinishModelBuffer(builder, fb::Model::Pack(builder, &model));
  const auto* bytes = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {bytes, bytes + builder.GetSize()};
}

// Puts the segments behind each other from `begin` on, in their order and as far apart as they
// were. Returns where the last one ends.
uint64_t move_segments(uint64_t begin, fb::ModelT* model) {
  const uint64_t from = model->segments.front()->offset;
  uint64_t end = begin;
  for (const std::unique_ptr<fb::SegmentT>& segment : model->segments) {
    segment->offset = segment->offset - from + begin;
    end = segment->offset + segment->size;
  }
  return end;
}

}  // namespace

void write_with_prefix(const Model& model, const PrefixData& prefix,
                       const std::filesystem::path& path) {
  fb::ModelT changed;
  model.root()->UnPackTo(&changed);
  changed.prefix = std::make_unique<fb::PrefixT>();
  changed.prefix->tokens = prefix.tokens;
  changed.prefix->text = prefix.text;
  changed.prefix->rows = rows_segment(prefix.rows);
  // Offsets have a fixed size: the graph keeps its own while they change.
  const uint64_t begin =
      align_up<uint64_t>(sizeof(FileHeader) + pack(changed).size(), kSegmentAlignBytes);
  const uint64_t weights_from = changed.segments.front()->offset;
  const uint64_t weights_end = move_segments(begin, &changed);
  const uint64_t rows_at = align_up(weights_end, kSegmentAlignBytes);
  changed.prefix->rows->offset = rows_at;
  const std::vector<std::byte> graph = pack(changed);
  const uint64_t file_bytes = align_up(rows_at + prefix.rows.size(), kSegmentAlignBytes);
  const FileHeader header = file_header(graph, file_bytes);
  OutputFile file(path);
  file.resize(file_bytes);
  file.write_at(0, std::as_bytes(std::span(&header, 1)));
  file.write_at(sizeof header, graph);
  file.write_at(begin, model.file().subspan(weights_from, weights_end - begin));
  file.write_at(rows_at, prefix.rows);
  file.commit();
}

}  // namespace nbl::compiler
