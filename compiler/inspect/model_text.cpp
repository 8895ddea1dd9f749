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

std::string_view scale_type(const Tensor& tensor) {
  return kDTypeNames[static_cast<size_t>(tensor.f32_scales ? DType::f32 : DType::f16)];
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
  if (op.window != 0) text += fmt::format(" window={}", op.window);
  if (op.softcap != 0) text += fmt::format(" softcap={:g}", static_cast<double>(op.softcap));
  if (op.full) text += " full";
  return text;
}

// The prefix's text, cut short.
std::string text_of(const fb::Prefix& prefix) {
  constexpr size_t kMostBytes = 60;
  const std::string text = prefix.text() == nullptr ? "" : prefix.text()->str();
  if (text.empty()) return "given as ids";
  return text.size() <= kMostBytes ? text : text.substr(0, kMostBytes) + "...";
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
  if (const fb::Prefix* prefix = model.root()->prefix()) {
    text +=
        fmt::format("  prefix         {} tokens, {:.1f} KiB of caches: {}\n", model.prefix().size(),
                    static_cast<double>(model.prefix_rows().size()) / 1024, text_of(*prefix));
  }
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

std::string format_of(const Tensor& t) {
  if (!is_quantized(t.dtype)) return {};
  return fmt::format(", {}, groups of {}, {} scales", kLayoutNames[static_cast<size_t>(t.layout)],
                     t.group_size, scale_type(t));
}

std::string tensors_text(const Model& model) {
  std::string text = fmt::format("\n{} tensors\n", model.tensor_count());
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    text +=
        fmt::format("{:4} {:10} {:3} {:18} {}{}\n", i, kRoleNames[static_cast<size_t>(t.role)],
                    kDTypeNames[static_cast<size_t>(t.dtype)], shape_of(t), t.name, format_of(t));
  }
  return text;
}

std::string segments_text(const Model& model) {
  const Sharing sharing = find_sharing(model);
  std::string text = fmt::format("\n{} segments, {} bytes saved by sharing\n",
                                 model.segment_count(), sharing.saved_bytes);
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const Segment segment = model.segment(i);
    const Sharing::Segment& use = sharing.segments[i];
    std::vector<std::string> tensors;
    std::vector<std::string> readers;
    for (const uint32_t tensor : use.tensors)
      tensors.emplace_back(model.tensor(tensor).name);
    for (const uint32_t op : use.readers)
      readers.emplace_back(model.op(op).name);
    text += fmt::format("{:4} {:12} {:12}  {}  {}", i, segment.offset, segment.size,
                        hash_prefix(segment), fmt::join(tensors, " + "));
    if (use.saved_bytes > 0) {
      text +=
          fmt::format(", read by {}: {} bytes saved", fmt::join(readers, ", "), use.saved_bytes);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

Sharing find_sharing(const Model& model) {
  Sharing sharing;
  sharing.segments.resize(model.segment_count());
  std::vector<std::vector<uint32_t>> readers(model.tensor_count());
  for (uint32_t i = 0; i < model.op_count(); ++i) {
    const Op op = model.op(i);
    for (uint32_t slot = 0; slot < op.input_count; ++slot) {
      if (op.inputs[slot] >= 0) readers[static_cast<uint32_t>(op.inputs[slot])].push_back(i);
    }
  }
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor tensor = model.tensor(i);
    if (tensor.role != Role::weight) continue;
    // The table of rotations is one thing by nature; only matrices are ever tied.
    const size_t tied = is_quantized(tensor.dtype) ? std::max<size_t>(readers[i].size(), 1) : 1;
    for (const int32_t index : {tensor.data, tensor.scales}) {
      if (index < 0) continue;
      Sharing::Segment& segment = sharing.segments[static_cast<uint32_t>(index)];
      const size_t copies = segment.tensors.empty() ? tied - 1 : tied;
      const uint64_t saved = copies * model.segment(static_cast<uint32_t>(index)).size;
      segment.saved_bytes += saved;
      sharing.saved_bytes += saved;
      segment.tensors.push_back(i);
      segment.readers.insert(segment.readers.end(), readers[i].begin(), readers[i].end());
    }
  }
  return sharing;
}

std::string model_text(const Model& model) {
  return summary(model) + chat_text(model) + ops_text(model) + tensors_text(model) +
         segments_text(model);
}

nlohmann::json model_json(const Model& model) {
  nlohmann::json json = {{"name", model.name()},
                         {"architecture", model.architecture()},
                         {"vocab_size", model.vocab_size()},
                         {"context_length", model.context_length()},
                         {"prefill_chunk", model.prefill_chunk()},
                         {"file_bytes", model.file().size()}};
  if (const fb::Prefix* prefix = model.root()->prefix()) {
    json["prefix"] = {{"tokens", std::vector(model.prefix().begin(), model.prefix().end())},
                      {"bytes", model.prefix_rows().size()},
                      {"text", prefix->text() == nullptr ? "" : prefix->text()->str()}};
  }
  if (const auto* metadata = model.root()->metadata()) {
    for (const fb::KeyValue* entry : *metadata) {
      json["metadata"][entry->key()->str()] = entry->value()->str();
    }
  }
  json["chat"] = chat_json(model);
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
    if (op.window != 0) json["ops"].back()["window"] = op.window;
    if (op.softcap != 0) json["ops"].back()["softcap"] = op.softcap;
    if (op.full) json["ops"].back()["full"] = true;
  }
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    json["tensors"].push_back({{"name", t.name},
                               {"role", kRoleNames[static_cast<size_t>(t.role)]},
                               {"dtype", kDTypeNames[static_cast<size_t>(t.dtype)]},
                               {"shape", std::vector(t.shape, t.shape + t.rank)},
                               {"layout", kLayoutNames[static_cast<size_t>(t.layout)]},
                               {"group_size", t.group_size},
                               {"data", t.data},
                               {"scales", t.scales}});
    if (is_quantized(t.dtype)) json["tensors"].back()["scale_dtype"] = scale_type(t);
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
                                {"tensors", sharing.segments[i].tensors},
                                {"readers", sharing.segments[i].readers},
                                {"saved_bytes", sharing.segments[i].saved_bytes}});
  }
  return json;
}

}  // namespace nbl::compiler
