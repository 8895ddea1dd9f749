#include "compiler/import/gguf_parts.h"

#include <fmt/format.h>

#include <set>

namespace nbl::compiler {
namespace {

constexpr uint32_t kMaxParts = 99999;  // five digits

std::string suffix(uint32_t index, uint32_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", index + 1, count);
}

// Where part `index` lies beside the part that `path` names.
std::filesystem::path part_path(const std::filesystem::path& path, uint32_t own, uint32_t index,
                                uint32_t count) {
  const std::string name = path.filename().string();
  const std::string end = suffix(own, count);
  if (!name.ends_with(end)) {
    throw ImportError(
        fmt::format("{}: is part {} of {} of a checkpoint; its name must end in {} for the other "
                    "parts to be found",
                    path.string(), own + 1, count, end));
  }
  return path.parent_path() / (name.substr(0, name.size() - end.size()) + suffix(index, count));
}

GgufPart open_part(const std::filesystem::path& path, uint32_t index, uint32_t count) {
  if (!std::filesystem::exists(path)) {
    throw ImportError(fmt::format("{}: is missing: the checkpoint has {} parts and this is part {}",
                                  path.string(), count, index + 1));
  }
  auto mapping = std::make_shared<const MappedFile>(path);
  GgufPart part{mapping, GgufFile(*mapping)};
  const std::optional<uint32_t> own = part.file.unsigned_value("split.no");
  const std::optional<uint32_t> total = part.file.unsigned_value("split.count");
  if (own && total && *own == index && *total == count) return part;
  const std::string said = own && total ? fmt::format("part {} of {}", uint64_t{*own} + 1, *total)
                                        : "no part of a checkpoint";
  throw ImportError(
      fmt::format("{}: is {}; part {} of {} is needed", path.string(), said, index + 1, count));
}

void check_tensors(const std::vector<GgufPart>& parts) {
  const GgufFile& first = parts[0].file;
  std::set<std::string_view> names;
  for (const GgufPart& part : parts) {
    for (const GgufTensor& tensor : part.file.tensors()) {
      if (names.insert(tensor.name).second) continue;
      throw ImportError(fmt::format("{}: tensor {} is in another part of the checkpoint too",
                                    part.file.path(), tensor.name));
    }
  }
  const uint64_t stated =
      first.unsigned_value("split.tensors.count").value_or(static_cast<uint32_t>(names.size()));
  if (names.size() == stated) return;
  throw ImportError(fmt::format("{}: key split.tensors.count is {}; the {} parts have {} tensors",
                                first.path(), stated, parts.size(), names.size()));
}

}  // namespace

std::vector<GgufPart> open_gguf(std::shared_ptr<const MappedFile> first) {
  std::vector<GgufPart> parts;
  parts.push_back({first, GgufFile(*first)});
  const uint32_t count = parts[0].file.unsigned_value("split.count").value_or(1);
  if (count <= 1) return parts;
  const std::string path = parts[0].file.path();
  const uint32_t own = parts[0].file.unsigned_value("split.no").value_or(0);
  if (count > kMaxParts || own >= count) {
    throw ImportError(
        fmt::format("{}: key split.no is {} and split.count {}; at most {} parts can "
                    "be numbered from 0",
                    path, own, count, kMaxParts));
  }
  if (own != 0) {
    throw ImportError(fmt::format("{}: is part {} of {} of a checkpoint; give the first, {}", path,
                                  uint64_t{own} + 1, count,
                                  part_path(path, own, 0, count).filename().string()));
  }
  for (uint32_t index = 1; index < count; ++index)
    parts.push_back(open_part(part_path(path, 0, index, count), index, count));
  check_tensors(parts);
  return parts;
}

}  // namespace nbl::compiler
