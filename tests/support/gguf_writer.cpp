#include "tests/support/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "compiler/import/gguf_writer.h"
#include "tests/support/q4.h"

namespace nbl::test {
namespace {

using compiler::SourceType;

constexpr uint64_t kBlock = 32;

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void encode_block_q8_0(float* values, std::string* out) {
  float largest = 0;
  for (uint64_t i = 0; i < kBlock; ++i)
    largest = std::max(largest, std::fabs(values[i]));
  const uint16_t half = f32_to_f16(largest / 127.0f);
  const float scale = f16_to_f32(half);
  append(out, half);
  for (uint64_t i = 0; i < kBlock; ++i) {
    const long level = scale == 0 ? 0 : std::lrint(values[i] / scale);
    const int8_t byte = static_cast<int8_t>(std::clamp(level, -128l, 127l));
    append(out, byte);
    values[i] = static_cast<float>(byte) * scale;
  }
}

void encode_block_q4_0(float* values, std::string* out) {
  float extreme = 0;
  for (uint64_t i = 0; i < kBlock; ++i) {
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  const uint16_t half = f32_to_f16(extreme / -8.0f);
  const float scale = f16_to_f32(half);
  append(out, half);
  uint8_t nibbles[kBlock];
  for (uint64_t i = 0; i < kBlock; ++i) {
    const long level = scale == 0 ? 0 : std::lrint(values[i] / scale);
    nibbles[i] = static_cast<uint8_t>(std::clamp(level, -8l, 7l) + 8);
    values[i] = static_cast<float>(nibbles[i] - 8) * scale;
  }
  for (uint64_t i = 0; i < kBlock / 2; ++i) {
    append(out, static_cast<uint8_t>(nibbles[i] | nibbles[i + kBlock / 2] << 4));
  }
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
  const bool has_blocks = type == SourceType::q8_0 || type == SourceType::q4_0;
  if (has_blocks && columns % kBlock != 0) throw std::runtime_error("columns split a block");
  const uint64_t step = has_blocks ? kBlock : 1;
  for (uint64_t i = 0; i < values->size(); i += step) {
    float* value = values->data() + i;
    switch (type) {
      case SourceType::q8_0:
        encode_block_q8_0(value, &bytes);
        break;
      case SourceType::q4_0:
        encode_block_q4_0(value, &bytes);
        break;
      default:
        encode_value(type, value, &bytes);
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
