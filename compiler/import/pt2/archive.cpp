#include "compiler/import/pt2/archive.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <fstream>
#include <memory>
#include <utility>

#include "compiler/import/checkpoint.h"
#include "compiler/import/json_field.h"
#include "compiler/import/pt2/payload.h"
#include "compiler/import/pt2/schema_json.h"
#include "compiler/import/pt2/zip_file.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr std::string_view kFormatMember = "archive_format";
constexpr const char* kFormat = "pt2";
constexpr const char* kVersion = "0";
constexpr const char* kExportAgain = "export and save it again with torch 2.9 or later";

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
    text.pop_back();
  return text;
}

// Refuses the archives that torch.export.save wrote before, and others of PyTorch, by name.
[[noreturn]] void refuse_other(const ZipFile& archive) {
  if (archive.has("serialized_exported_program.json")) {
    const std::string version = archive.has("version") ? trimmed(archive.read_text("version")) : "";
    throw ImportError(
        fmt::format("{}: is in the format of torch 2.7 and earlier (schema {}), "
                    "which keeps its weights in a pickle: {}",
                    archive.path(), version.empty() ? "unknown" : version, kExportAgain));
  }
  for (const auto& [name, size] : archive.members()) {
    if (name.ends_with("/data.pkl") || name.ends_with("/constants.pkl")) {
      throw ImportError(
          fmt::format("{}: is a pickled checkpoint or TorchScript archive ({}), not "
                      "what torch.export.save writes",
                      archive.path(), name));
    }
  }
  throw ImportError(
      fmt::format("{}: is a zip archive without a member {}, not what "
                  "torch.export.save writes",
                  archive.path(), kFormatMember));
}

// The folder that all members lie in, with its slash.
std::string root_of(const ZipFile& archive) {
  for (const auto& [name, size] : archive.members()) {
    if (name == kFormatMember) return "";
    const size_t slash = name.find('/');
    if (slash != std::string::npos && name.substr(slash + 1) == kFormatMember) {
      return name.substr(0, slash + 1);
    }
  }
  refuse_other(archive);
}

void check_format(const ZipFile& archive, const std::string& root) {
  const auto text_of = [&](const char* name) {
    return archive.has(root + name) ? trimmed(archive.read_text(root + name)) : std::string();
  };
  const std::string format = text_of("archive_format");
  if (format != kFormat) {
    throw ImportError(fmt::format("{}: {}archive_format is \"{}\", not \"{}\"", archive.path(),
                                  root, format, kFormat));
  }
  const std::string version = text_of("archive_version");
  if (!version.empty() && version != kVersion) {
    throw ImportError(fmt::format("{}: {}archive_version is {}, the known one is {}",
                                  archive.path(), root, version, kVersion));
  }
  const std::string order = text_of("byteorder");
  if (!order.empty() && order != "little") {
    throw ImportError(fmt::format("{}: {}byteorder is {}, only little is supported", archive.path(),
                                  root, order));
  }
}

// The name of the archive's one program: "model", as torch.export.save has it.
std::string model_of(const ZipFile& archive, const std::string& root) {
  const std::string folder = root + "models/";
  constexpr std::string_view kSuffix = ".json";
  std::vector<std::string> models;
  for (const auto& [name, size] : archive.members()) {
    if (!name.starts_with(folder) || !name.ends_with(kSuffix)) continue;
    if (name.size() <= folder.size() + kSuffix.size()) continue;
    models.push_back(name.substr(folder.size(), name.size() - folder.size() - kSuffix.size()));
  }
  if (models.empty()) {
    throw ImportError(fmt::format("{}: has no exported program (no member {}*.json){}",
                                  archive.path(), folder,
                                  archive.has(root + "data/aotinductor/model/metadata.json")
                                      ? "; it is compiled by AOTInductor"
                                      : ""));
  }
  if (models.size() > 1) {
    throw ImportError(fmt::format("{}: has {} exported programs ({}), one is wanted",
                                  archive.path(), models.size(), fmt::join(models, ", ")));
  }
  return models[0];
}

nlohmann::json parse(const ZipFile& archive, const std::string& member) {
  try {
    return nlohmann::json::parse(archive.read_text(member));
  } catch (const nlohmann::json::parse_error& error) {
    throw ImportError(fmt::format("{}: {} is not JSON: something is wrong at byte {}",
                                  archive.path(), member, error.byte));
  }
}

// One of the archive's two sets of tensors.
struct TensorSet {
  std::string source;
  nlohmann::json document;
  std::unique_ptr<Payload> payload;
};

void open_set(const ZipFile& archive, const std::string& folder, const std::string& model,
              const char* what, TensorSet* set) {
  if (archive.has(folder + model + ".pt")) {
    throw ImportError(fmt::format("{}: keeps its {} in a pickle ({}{}.pt), as torch 2.8 did: {}",
                                  archive.path(), what, folder, model, kExportAgain));
  }
  const std::string config = fmt::format("{}{}_{}_config.json", folder, model, what);
  set->source = archive.path() + ": " + config;
  set->document = parse(archive, config);
  set->payload = std::make_unique<Payload>(archive, folder,
                                           JsonField(set->source, set->document, "the document"));
}

void check_meta(const ExportedProgram& program, const InputSpec& input,
                const ConstantTensor& tensor) {
  const TensorMeta& meta = program.tensors.at(input.value);
  bool same = meta.dtype == tensor.meta.dtype && meta.sizes.size() == tensor.shape.size();
  for (size_t i = 0; same && i < tensor.shape.size(); ++i) {
    same = !meta.sizes[i].symbolic() && meta.sizes[i].value == tensor.shape[i];
  }
  if (same) return;
  std::vector<int64_t> wanted;
  for (const SymInt& size : meta.sizes)
    wanted.push_back(size.value);
  throw ImportError(fmt::format("{}: {} is {} [{}], its place in the graph is {} [{}]",
                                program.path, input.target, scalar_type_name(tensor.meta.dtype),
                                fmt::join(tensor.shape, ", "), scalar_type_name(meta.dtype),
                                fmt::join(wanted, ", ")));
}

void read_constants(const ZipFile& archive, const std::string& root, const std::string& model,
                    ExportedProgram* program) {
  std::array<TensorSet, 2> sets;
  open_set(archive, root + "data/weights/", model, "weights", &sets[0]);
  open_set(archive, root + "data/constants/", model, "constants", &sets[1]);
  const auto storage = std::make_shared<PayloadStorage>();
  for (const InputSpec& input : program->inputs) {
    if (input.kind == InputKind::user || input.kind == InputKind::other) continue;
    // Persistent buffers and parameters are weights; all else is in the other set.
    size_t at = 0;
    while (at < sets.size() && !sets[at].payload->has(input.target))
      ++at;
    if (at == sets.size()) {
      throw ImportError(
          fmt::format("{}: neither the weights nor the constants have {}, which the "
                      "graph takes as {}",
                      archive.path(), input.target, input.value));
    }
    if (!program->tensors.contains(input.value)) {
      throw ImportError(fmt::format("{}: {} stands for {}, which is no tensor", archive.path(),
                                    input.target, input.value));
    }
    const ConstantTensor tensor = sets[at].payload->tensor(input.target, storage.get());
    check_meta(*program, input, tensor);
    program->constants.emplace(input.target, tensor);
  }
  program->storage = storage;
}

}  // namespace

bool is_archive(const std::filesystem::path& path) {
  std::array<char, 4> start = {};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  return start == std::array<char, 4>{'P', 'K', 3, 4};
}

ExportedProgram read_exported_program(const std::filesystem::path& path) {
  const ZipFile archive(path);
  const std::string root = root_of(archive);
  check_format(archive, root);
  const std::string model = model_of(archive, root);
  ExportedProgram program;
  program.path = path.string();
  {
    const std::string member = root + "models/" + model + ".json";
    const std::string source = program.path + ": " + member;
    const nlohmann::json document = parse(archive, member);
    read_program(JsonField(source, document, "the program"), &program);
  }
  read_constants(archive, root, model, &program);
  return program;
}

}  // namespace nbl::compiler::pt2
