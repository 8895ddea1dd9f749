#include "tests/support/gguf_writer.h"

#include <bit>
#include <stdexcept>

#include "compiler/import/gguf_writer.h"
#include "tests/support/q4.h"
#include "tests/support/source_blocks.h"

namespace nbl::test {
namespace {

using compiler::SourceType;

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void encode_value(SourceType type, float* value, std::string* out) {
  if (type == SourceType::f32) {
    append(out, *value);
  } else if (type == SourceType::f16) {
    append(out, f32_to_f16(*value));
    *value = f16_to_f32(f32_to_f16(*value));
  } else {
    const uint32_t bits = std::bit_cast<uint32_t>(*value) & 0xffff0000u;
    append(out, static_cast<uint16_t>(bits >> 16));
    *value = std::bit_cast<float>(bits);
  }
}

}  // namespace

std::string encode_tensor(SourceType type, uint64_t columns, std::vector<float>* values) {
  std::string bytes;
  const uint64_t step = compiler::source_block(type);
  if (columns % step != 0) throw std::runtime_error("columns split a block");
  for (uint64_t i = 0; i < values->size(); i += step) {
    float* value = values->data() + i;
    if (step == 1) {
      encode_value(type, value, &bytes);
    } else {
      bytes += quantize_block(type, value);
    }
  }
  return bytes;
}

namespace {

std::string file_name(const std::string& canonical) {
  return canonical.ends_with(".bias") ? canonical : canonical + ".weight";
}

// Keys of other architectures than plain llama.
void add_extras(const LlamaSpec& spec, compiler::GgufWriter* writer) {
  const auto key = [&](const char* name) { return spec.architecture + "." + name; };
  if (spec.window != 0) writer->add_u32(key("attention.sliding_window"), spec.window);
  // Every sixth layer is what readers expect without being told.
  if (spec.window_period != 0 && spec.window_period != 6)
    writer->add_u32(key("attention.sliding_window_pattern"), spec.window_period);
  if (spec.local_theta != 0 && spec.local_theta != 10000)
    writer->add_f32(key("rope.freq_base_swa"), static_cast<float>(spec.local_theta));
  if (spec.rope_linear != 1) {
    writer->add_text(key("rope.scaling.type"), "linear");
    writer->add_f32(key("rope.scaling.factor"), static_cast<float>(spec.rope_linear));
  }
  if (spec.short_context != 0)
    writer->add_u32(key("rope.scaling.original_context_length"), spec.short_context);
  if (spec.rope_magnitude != 1)
    writer->add_f32(key("rope.scaling.attn_factor"), spec.rope_magnitude);
  if (spec.logit_softcap != 0) writer->add_f32(key("final_logit_softcapping"), spec.logit_softcap);
  if (spec.attention_softcap != 0)
    writer->add_f32(key("attn_logit_softcapping"), spec.attention_softcap);
  if (spec.attention_scale != 0)
    writer->add_f32(key("attention.scale"), static_cast<float>(spec.attention_scale));
}

// What stands in a file in place of a tensor: itself, nothing, or the matrix that it is a part of.
struct Stacked {
  std::string name;
  uint64_t rows;
};
Stacked stacked(const LlamaSpec& spec, const NamedShape& shape) {
  if (!spec.is("phi3")) return {shape.name, shape.rows};
  const std::string at = shape.name.substr(0, shape.name.rfind('.') + 1);
  const std::string what = shape.name.substr(at.size());
  const uint64_t kv = uint64_t{spec.kv_heads} * spec.head_dim;
  if (what == "attn_q") return {at + "attn_qkv", shape.rows + 2 * kv};
  if (what == "ffn_gate") return {at + "ffn_up", 2 * shape.rows};
  if (what == "attn_k" || what == "attn_v" || what == "ffn_up") return {"", 0};
  return {shape.name, shape.rows};
}

}  // namespace

LlamaFile write_gguf_llama(const LlamaSpec& spec) {
  LlamaFile file;
  compiler::GgufWriter writer;
  writer.add_hyper(hyper_of(spec));
  add_extras(spec, &writer);
  file.tokenizer = compiler::synthetic_vocabulary(spec.vocab);
  if (spec.tokenizer) writer.add_tokenizer(file.tokenizer);
  if (!spec.chat_template.empty()) writer.add_text("tokenizer.chat_template", spec.chat_template);
  std::string data;
  const auto pad = [&] { data.append(compiler::GgufWriter::padding_after(data.size()), '\0'); };
  const auto add_factors = [&](const char* name, std::vector<float> factors) {
    if (factors.empty()) return;
    writer.add_tensor(name, SourceType::f32, 1, factors.size());
    data += encode_tensor(SourceType::f32, factors.size(), &factors);
    pad();
  };
  add_factors("rope_freqs.weight", spec.rope_factors);
  add_factors("rope_factors_short.weight", spec.short_factors);
  add_factors("rope_factors_long.weight", spec.long_factors);
  for (const NamedShape& shape : named_shapes(spec)) {
    std::vector<float>& values = file.weights[shape.name] = random_weights(spec, shape);
    const SourceType type = shape.rows == 1 ? SourceType::f32 : spec.type;
    const Stacked place = stacked(spec, shape);
    if (!place.name.empty()) {
      pad();
      writer.add_tensor(file_name(place.name), type, place.rows, shape.columns);
    }
    data += encode_tensor(type, shape.columns, &values);
  }
  pad();
  file.bytes = writer.header() + data;
  return file;
}

LlamaSpec tiny_gguf_llama(compiler::SourceType type) {
  LlamaSpec spec;
  spec.dim = 32;
  spec.layers = 1;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.head_dim = 16;
  spec.ffn = 32;
  spec.vocab = 261;
  spec.type = type;
  return spec;
}

std::string write_gguf_part(const LlamaFile& source, const LlamaSpec& spec, uint32_t part,
                            uint32_t parts, const GgufSplit& says) {
  compiler::GgufWriter writer;
  if (part == 0) writer.add_hyper(hyper_of(spec));
  writer.add_u32("split.no", says.part);
  writer.add_u32("split.count", says.parts);
  writer.add_u32("split.tensors.count", static_cast<uint32_t>(says.tensors));
  std::string data;
  const std::vector<NamedShape> shapes = named_shapes(spec);
  for (size_t i = part; i < shapes.size(); i += parts) {
    std::vector<float> values = source.weights.at(shapes[i].name);
    writer.add_tensor(shapes[i].name + ".weight", compiler::SourceType::f32, shapes[i].rows,
                      shapes[i].columns);
    data += encode_tensor(compiler::SourceType::f32, shapes[i].columns, &values);
    data.append(compiler::GgufWriter::padding_after(data.size()), '\0');
  }
  return writer.header() + data;
}

}  // namespace nbl::test
