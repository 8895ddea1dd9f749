#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/inspect/inspect.h"
#include "schema_generated.h"

namespace nbl::compiler {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr size_t kHashPrefixBytes = 6;

std::string shape_of(const Tensor& tensor) {
  std::vector<std::string> dims;
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    dims.push_back(tensor.shape[i] == 0 ? "T" : std::to_string(tensor.shape[i]));
  }
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

std::string names_of(const Model& model, const int32_t* tensors, uint32_t count) {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < count; ++i) {
    if (tensors[i] < 0) {
      names.emplace_back("-");
    } else {
      names.emplace_back(model.tensor(static_cast<uint32_t>(tensors[i])).name);
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string hash_prefix(const Segment& segment) {
  std::string text;
  for (size_t i = 0; i < kHashPrefixBytes; ++i)
    text += fmt::format("{:02x}", segment.sha256[i]);
  return text;
}

std::string attributes_of(const Op& op) {
  std::string text;
  if (op.heads != 0) text += fmt::format(" heads={}", op.heads);
  if (op.kv_heads != 0) text += fmt::format("/{}", op.kv_heads);
  if (op.head_dim != 0) text += fmt::format(" x {}", op.head_dim);
  if (op.swiglu) text += " swiglu";
  if (op.last_row) text += " last_row";
  if (op.function != Function::none) {
    text += fmt::format(" {}", kFunctionNames[static_cast<size_t>(op.function)]);
  }
  if (op.alpha != 0) text += fmt::format(" alpha={:g}", op.alpha);
  if (op.offset != 0) text += fmt::format(" offset={}", op.offset);
  return text;
}

std::string summary(const Model& model) {
  std::string text = fmt::format("{} ({})\n", model.name(), model.architecture());
  text += fmt::format("  vocabulary     {}\n  context        {}\n  prefill chunk  {}\n",
                      model.vocab_size(), model.context_length(), model.prefill_chunk());
  TokenizerTables tables{};
  const bool has_tokenizer = model.tokenizer(&tables);
  text += has_tokenizer ? fmt::format("  tokenizer      {} pieces\n", tables.count)
                        : std::string("  tokenizer      none\n");
  text +=
      fmt::format("  file           {:.2f} MiB\n", static_cast<double>(model.file().size()) / kMiB);
  if (const auto* metadata = model.root()->metadata()) {
    for (const fb::KeyValue* entry : *metadata) {
      text += fmt::format("  {}: {}\n", entry->key()->c_str(), entry->value()->c_str());
    }
  }
  return text;
}

std::string ops_text(const Model& model) {
  std::string text = fmt::format("\n{} ops\n", model.op_count());
  for (uint32_t i = 0; i < model.op_count(); ++i) {
    const Op op = model.op(i);
    const std::string_view kind = kOpKindNames[static_cast<size_t>(op.kind)];
    text += fmt::format("{:4} {:18} {} <- {}{}\n", i, kind,
                        names_of(model, op.outputs, op.output_count),
                        names_of(model, op.inputs, op.input_count), attributes_of(op));
  }
  return text;
}

std::string tensors_text(const Model& model) {
  std::string text = fmt::format("\n{} tensors\n", model.tensor_count());
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    text += fmt::format("{:4} {:10} {:3} {:18} {}", i, kRoleNames[static_cast<size_t>(t.role)],
                        kDTypeNames[static_cast<size_t>(t.dtype)], shape_of(t), t.name);
    if (t.group_size != 0) text += fmt::format(", groups of {}", t.group_size);
    text += "\n";
  }
  return text;
}

std::string segments_text(const Model& model) {
  const Sharing sharing = find_sharing(model);
  std::string text = fmt::format("\n{} segments, {} bytes saved by sharing\n",
                                 model.segment_count(), sharing.saved_bytes);
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const Segment segment = model.segment(i);
    std::vector<std::string> users;
    for (const uint32_t tensor : sharing.users[i])
      users.emplace_back(model.tensor(tensor).name);
    text += fmt::format("{:4} {:12} {:12}  {}  {}\n", i, segment.offset, segment.size,
                        hash_prefix(segment), fmt::join(users, " + "));
  }
  return text;
}

}  // namespace

Sharing find_sharing(const Model& model) {
  Sharing sharing;
  sharing.users.resize(model.segment_count());
  const auto count_use = [&](int32_t segment, uint32_t uses, uint32_t tensor) {
    if (segment < 0) return;
    const auto index = static_cast<uint32_t>(segment);
    // A tensor that n ops read would be n tensors without sharing.
    const uint32_t copies = sharing.users[index].empty() ? uses - 1 : uses;
    sharing.saved_bytes += copies * model.segment(index).size;
    sharing.users[index].push_back(tensor);
  };
  std::vector<uint32_t> uses(model.tensor_count());
  for (uint32_t i = 0; i < model.op_count(); ++i) {
    const Op op = model.op(i);
    for (uint32_t slot = 0; slot < op.input_count; ++slot) {
      if (op.inputs[slot] >= 0) ++uses[static_cast<uint32_t>(op.inputs[slot])];
    }
  }
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor tensor = model.tensor(i);
    if (tensor.role != Role::weight) continue;
    // The table of rotations is one thing by nature; only matrices are ever tied.
    const uint32_t tied = tensor.dtype == DType::q4 ? std::max(uses[i], 1u) : 1;
    count_use(tensor.data, tied, i);
    count_use(tensor.scales, tied, i);
  }
  return sharing;
}

std::string model_text(const Model& model) {
  return summary(model) + ops_text(model) + tensors_text(model) + segments_text(model);
}

nlohmann::json model_json(const Model& model) {
  nlohmann::json json = {{"name", model.name()},
                         {"architecture", model.architecture()},
                         {"vocab_size", model.vocab_size()},
                         {"context_length", model.context_length()},
                         {"prefill_chunk", model.prefill_chunk()},
                         {"file_bytes", model.file().size()}};
  if (const auto* metadata = model.root()->metadata()) {
    for (const fb::KeyValue* entry : *metadata) {
      json["metadata"][entry->key()->str()] = entry->value()->str();
    }
  }
  for (uint32_t i = 0; i < model.op_count(); ++i) {
    const Op op = model.op(i);
    json["ops"].push_back({{"kind", kOpKindNames[static_cast<size_t>(op.kind)]},
                           {"name", op.name},
                           {"inputs", std::vector(op.inputs, op.inputs + op.input_count)},
                           {"outputs", std::vector(op.outputs, op.outputs + op.output_count)}});
    if (op.function != Function::none) {
      json["ops"].back()["function"] = kFunctionNames[static_cast<size_t>(op.function)];
      json["ops"].back()["alpha"] = op.alpha;
    }
  }
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    json["tensors"].push_back({{"name", t.name},
                               {"role", kRoleNames[static_cast<size_t>(t.role)]},
                               {"dtype", kDTypeNames[static_cast<size_t>(t.dtype)]},
                               {"shape", std::vector(t.shape, t.shape + t.rank)},
                               {"group_size", t.group_size},
                               {"data", t.data},
                               {"scales", t.scales}});
  }
  const Sharing sharing = find_sharing(model);
  json["saved_by_sharing_bytes"] = sharing.saved_bytes;
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const Segment segment = model.segment(i);
    std::string hash;
    for (size_t b = 0; b < 32; ++b)
      hash += fmt::format("{:02x}", segment.sha256[b]);
    json["segments"].push_back({{"offset", segment.offset},
                                {"size", segment.size},
                                {"sha256", hash},
                                {"tensors", sharing.users[i]}});
  }
  return json;
}

}  // namespace nbl::compiler
