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

LlamaFile write_gguf_llama(const LlamaSpec& spec) {
  LlamaFile file;
  compiler::GgufWriter writer;
  writer.add_hyper(hyper_of(spec));
  file.tokenizer = compiler::synthetic_vocabulary(spec.vocab);
  if (spec.tokenizer) writer.add_tokenizer(file.tokenizer);
  std::string data;
  const auto add = [&](const std::string& name, SourceType type, uint64_t rows, uint64_t columns,
                       std::vector<float>* values) {
    writer.add_tensor(name, type, rows, columns);
    data += encode_tensor(type, columns, values);
    data.append(compiler::GgufWriter::padding_after(data.size()), '\0');
  };
  std::vector<float> factors = spec.rope_factors;
  if (!factors.empty()) add("rope_freqs.weight", SourceType::f32, 1, factors.size(), &factors);
  for (const NamedShape& shape : named_shapes(spec)) {
    std::vector<float>& values = file.weights[shape.name] = random_weights(spec, shape);
    const SourceType type = shape.rows == 1 ? SourceType::f32 : spec.type;
    add(shape.name + ".weight", type, shape.rows, shape.columns, &values);
  }
  file.bytes = writer.header() + data;
  return file;
}

}  // namespace nbl::test
