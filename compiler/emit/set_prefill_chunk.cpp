#include "compiler/emit/set_prefill_chunk.h"

#include <fmt/format.h>

#include <fstream>
#include <vector>

#include "compiler/emit/emit.h"
#include "compiler/error.h"
#include "compiler/open_model.h"
#include "schema_generated.h"

namespace nbl::compiler {

void set_prefill_chunk(const std::filesystem::path& path, uint32_t tokens) {
  std::vector<std::byte> graph;
  uint64_t file_bytes = 0;
  {
    const MappedFile file(path);
    const Model model = open_model(file);
    FileHeader header;
    std::memcpy(&header, model.file().data(), sizeof header);
    const auto bytes = model.file().subspan(sizeof header, header.graph_bytes);
    graph.assign(bytes.begin(), bytes.end());
    file_bytes = model.file().size();
  }
  // Checked when the file was opened. A chunk is never the schema's default, so it is stored.
  auto* root = flatbuffers::GetMutableRoot<flatbuffers::Table>(graph.data());
  if (!root->SetField<uint32_t>(fb::Model::VT_PREFILL_CHUNK, tokens, 0)) {
    throw CompileError(fmt::format("{}: the graph has no prefill chunk", path.string()));
  }
  const FileHeader header = file_header(graph, file_bytes);
  std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
  out.write(reinterpret_cast<const char*>(&header), sizeof header);
  out.write(reinterpret_cast<const char*>(graph.data()),
            static_cast<std::streamsize>(graph.size()));
  out.close();
  if (!out) throw CompileError(fmt::format("{}: cannot be written", path.string()));
}

}  // namespace nbl::compiler
