#include "compiler/import/checkpoint.h"

#include <fmt/format.h>

#include <cstring>

#include "compiler/import/gguf.h"
#include "compiler/import/half.h"
#include "compiler/import/llama2c.h"
#include "compiler/import/mapped_file.h"
#include "compiler/import/tiktoken.h"

namespace nbl::compiler {
namespace {

constexpr size_t kQ8Bytes = 2 + kSourceBlock;
constexpr size_t kQ4Bytes = 2 + kSourceBlock / 2;

uint16_t read_u16(const std::byte* data) {
  uint16_t value = 0;
  std::memcpy(&value, data, sizeof value);
  return value;
}

void read_q8_0(const std::byte* data, uint64_t columns, float* out) {
  for (uint64_t column = 0; column < columns; column += kSourceBlock, data += kQ8Bytes) {
    const float scale = f16_to_f32(read_u16(data));
    for (uint32_t i = 0; i < kSourceBlock; ++i) {
      out[column + i] = static_cast<float>(static_cast<int8_t>(data[2 + i])) * scale;
    }
  }
}

void read_q4_0(const std::byte* data, uint64_t columns, float* out) {
  for (uint64_t column = 0; column < columns; column += kSourceBlock, data += kQ4Bytes) {
    const float scale = f16_to_f32(read_u16(data));
    for (uint32_t i = 0; i < kSourceBlock / 2; ++i) {
      const int byte = std::to_integer<int>(data[2 + i]);
      out[column + i] = static_cast<float>((byte & 15) - 8) * scale;
      out[column + i + kSourceBlock / 2] = static_cast<float>((byte >> 4) - 8) * scale;
    }
  }
}

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Formats that look like nothing to the llama2.c reader and deserve their name in the error.
void refuse_foreign_formats(const MappedFile& file) {
  const auto refuse = [&](const char* name) {
    throw ImportError(
        fmt::format("{}: is {}; nibble imports GGUF files and legacy llama2.c "
                    "checkpoints",
                    file.path().string(), name));
  };
  const std::span<const std::byte> bytes = file.bytes();
  if (starts_with(bytes, "PK\x03\x04")) refuse("a zip archive, such as PyTorch writes");
  // Eight bytes of length, then JSON.
  if (bytes.size() > 8 && starts_with(bytes.subspan(8), "{\"")) refuse("a safetensors file");
  if (starts_with(bytes, "24ka")) refuse("a llama2.c checkpoint of version 1 or 2");
  if (starts_with(bytes, "lmgg") || starts_with(bytes, "tjgg") || starts_with(bytes, "fmgg")) {
    refuse("a GGML file from before GGUF");
  }
  if (starts_with(bytes, "NBLMODEL")) refuse("already a nibble model");
}

}  // namespace

const char* source_type_name(SourceType type) {
  switch (type) {
    case SourceType::f32:
      return "F32";
    case SourceType::f16:
      return "F16";
    case SourceType::bf16:
      return "BF16";
    case SourceType::q8_0:
      return "Q8_0";
    case SourceType::q4_0:
      return "Q4_0";
  }
  return "unknown";
}

uint64_t source_row_bytes(SourceType type, uint64_t columns) {
  switch (type) {
    case SourceType::f32:
      return columns * 4;
    case SourceType::f16:
    case SourceType::bf16:
      return columns * 2;
    case SourceType::q8_0:
      return columns / kSourceBlock * kQ8Bytes;
    case SourceType::q4_0:
      return columns / kSourceBlock * kQ4Bytes;
  }
  return 0;
}

size_t SourceTensor::row_bytes() const {
  return source_row_bytes(type, columns);
}

void SourceTensor::read_row(uint64_t row, float* out) const {
  const std::byte* source = row_data(row);
  switch (type) {
    case SourceType::f32:
      std::memcpy(out, source, columns * 4);
      break;
    case SourceType::f16:
      for (uint64_t i = 0; i < columns; ++i)
        out[i] = f16_to_f32(read_u16(source + 2 * i));
      break;
    case SourceType::bf16:
      for (uint64_t i = 0; i < columns; ++i)
        out[i] = bf16_to_f32(read_u16(source + 2 * i));
      break;
    case SourceType::q8_0:
      read_q8_0(source, columns, out);
      break;
    case SourceType::q4_0:
      read_q4_0(source, columns, out);
      break;
  }
}

Checkpoint import_checkpoint(const std::filesystem::path& file,
                             const std::filesystem::path& tokenizer) {
  const auto mapped = std::make_shared<MappedFile>(file);
  Checkpoint checkpoint;
  if (starts_with(mapped->bytes(), "GGUF")) {
    checkpoint = import_gguf(*mapped);
  } else {
    refuse_foreign_formats(*mapped);
    checkpoint = import_llama2c(*mapped);
  }
  checkpoint.storage = mapped;
  if (checkpoint.hyper.name.empty()) checkpoint.hyper.name = file.stem().string();
  if (!tokenizer.empty()) {
    checkpoint.tokenizer = import_tokenizer(tokenizer, checkpoint.hyper.vocab);
    checkpoint.warnings.clear();  // all are about the file's own vocabulary
    std::vector<uint32_t>& stops = checkpoint.hyper.stop_tokens;
    const int32_t eos = checkpoint.tokenizer->eos;
    if (stops.empty() && eos >= 0) stops.push_back(static_cast<uint32_t>(eos));
  }
  return checkpoint;
}

TokenizerData import_tokenizer(const std::filesystem::path& file, uint32_t vocab) {
  const MappedFile mapped(file);
  const bool gguf = starts_with(mapped.bytes(), "GGUF");
  if (!gguf && !is_tiktoken(mapped)) return import_llama2c_tokenizer(mapped, vocab);
  TokenizerData data = gguf ? import_gguf_tokenizer(mapped) : import_tiktoken(mapped);
  if (vocab != 0 && data.pieces.size() != vocab) {
    throw ImportError(fmt::format("{}: the tokenizer has {} pieces; the model's vocabulary has {}",
                                  file.string(), data.pieces.size(), vocab));
  }
  return data;
}

}  // namespace nbl::compiler
