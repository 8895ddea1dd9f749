#include "compiler/import/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "compiler/import/gguf_hyper.h"
#include "compiler/import/gguf_parts.h"
#include "compiler/import/llama_tensors.h"
#include "rt/base/checked.h"

namespace nbl::compiler {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";
constexpr std::string_view kBiasSuffix = ".bias";

const GgufTensor* find_embedding(const std::vector<GgufPart>& parts) {
  for (const GgufPart& part : parts) {
    for (const GgufTensor& tensor : part.file.tensors()) {
      if (tensor.name == "token_embd.weight") return &tensor;
    }
  }
  return nullptr;
}

SourceType source_type(const GgufFile& file, const GgufTensor& tensor) {
  for (uint32_t type = 0; type < kSourceTypeCount; ++type) {
    if (kGgmlTypeIds[type] == tensor.type) return static_cast<SourceType>(type);
  }
  const bool has_name = tensor.type < std::size(kGgmlTypeNames);
  throw ImportError(fmt::format(
      "{}: tensor {} has type {}; nibble imports {}", file.path(), tensor.name,
      has_name ? kGgmlTypeNames[tensor.type] : std::to_string(tensor.type), source_type_names()));
}

SourceTensor view(const GgufFile& file, const GgufTensor& entry) {
  SourceTensor tensor;
  tensor.name = entry.name;
  tensor.type = source_type(file, entry);
  tensor.columns = entry.dims[0];
  tensor.rows = entry.dims[1];
  if (entry.dims[2] != 1 || entry.dims[3] != 1) {
    throw ImportError(fmt::format("{}: tensor {} has {} dimensions; a weight has 1 or 2",
                                  file.path(), entry.name, entry.rank));
  }
  if (tensor.columns % source_block(tensor.type) != 0) {
    throw ImportError(fmt::format(
        "{}: tensor {} of type {} has {} columns; they must be a multiple of {}", file.path(),
        entry.name, source_type_name(tensor.type), tensor.columns, source_block(tensor.type)));
  }
  // rows * columns < 2^63 was checked; four bytes an element may still overflow.
  uint64_t size = 0;
  const uint64_t room = file.bytes().size() - entry.offset;
  const bool fits = tensor.columns <= room && checked_mul(tensor.rows, tensor.row_bytes(), &size);
  if (!fits || size > room) {
    throw ImportError(
        fmt::format("{}: tensor {} of shape [{}, {}] runs past the end of the file: it "
                    "begins {} bytes before it",
                    file.path(), entry.name, tensor.rows, tensor.columns, room));
  }
  tensor.data = file.bytes().data() + entry.offset;
  return tensor;
}

// Bytes that two tensors claim are not both's.
void check_overlaps(const GgufFile& file, std::vector<SourceTensor> tensors) {
  std::ranges::sort(tensors, {}, &SourceTensor::data);
  for (size_t i = 1; i < tensors.size(); ++i) {
    const SourceTensor& before = tensors[i - 1];
    const uint64_t apart = static_cast<uint64_t>(tensors[i].data - before.data);
    if (before.rows * before.row_bytes() <= apart) continue;
    throw ImportError(fmt::format(
        "{}: tensors {} and {} overlap: the first has {} bytes, the other begins {} "
        "bytes after it",
        file.path(), before.name, tensors[i].name, before.rows * before.row_bytes(), apart));
  }
}

// Names lose ".weight" and keep ".bias".
void read_tensors(const GgufFile& file, const Hyper& hyper, Checkpoint* checkpoint) {
  std::vector<SourceTensor> all;
  for (const GgufTensor& entry : file.tensors()) {
    SourceTensor tensor = view(file, entry);
    all.push_back(tensor);
    std::string name = entry.name;
    if (name.ends_with(kWeightSuffix)) {
      name.resize(name.size() - kWeightSuffix.size());
    } else if (!name.ends_with(kBiasSuffix)) {
      throw ImportError(
          fmt::format("{}: tensor {} has no place in the {} architecture that nibble knows",
                      file.path(), name, hyper.architecture));
    }
    checkpoint->tensors.emplace(std::move(name), std::move(tensor));
  }
  check_overlaps(file, std::move(all));
}

}  // namespace

Checkpoint import_gguf(std::shared_ptr<const MappedFile> mapped) {
  auto parts = std::make_shared<std::vector<GgufPart>>(open_gguf(std::move(mapped)));
  const GgufFile& file = parts->front().file;
  Checkpoint checkpoint;
  checkpoint.storage = parts;
  Hyper& hyper = checkpoint.hyper;
  hyper = read_gguf_hyper(file, find_embedding(*parts));
  for (const GgufPart& part : *parts)
    read_tensors(part.file, hyper, &checkpoint);
  read_gguf_rope(file, &checkpoint.tensors, &hyper);
  split_fused_tensors(hyper, &checkpoint.tensors);
  check_llama_tensors(file.path(), hyper, checkpoint.tensors);
  hyper.stop_tokens = gguf_stop_tokens(file, hyper.vocab);
  checkpoint.tokenizer = gguf_tokenizer(file, hyper.vocab, &checkpoint.warnings);
  return checkpoint;
}

}  // namespace nbl::compiler
