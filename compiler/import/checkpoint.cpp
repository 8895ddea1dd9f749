#include "compiler/import/checkpoint.h"

#include <fmt/format.h>

#include <cstring>

#include "compiler/import/gguf.h"
#include "compiler/import/hf/model_folder.h"
#include "compiler/import/hf/sentencepiece.h"
#include "compiler/import/hf/tokenizer_folder.h"
#include "compiler/import/llama2c.h"
#include "compiler/import/mapped_file.h"
#include "compiler/import/tiktoken.h"
#include "compiler/quantize/q4_rows.h"

namespace nbl::compiler {
namespace {

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Formats that look like nothing to the llama2.c reader and deserve their name in the error.
void refuse_foreign_formats(const MappedFile& file) {
  const auto refuse = [&](const char* name) {
    throw ImportError(
        fmt::format("{}: is {}; nibble imports model folders, GGUF files and legacy llama2.c "
                    "checkpoints",
                    file.path().string(), name));
  };
  const std::span<const std::byte> bytes = file.bytes();
  if (starts_with(bytes, "PK\x03\x04")) refuse("a zip archive, such as PyTorch writes");
  // Eight bytes of length, then JSON.
  if (bytes.size() > 8 && starts_with(bytes.subspan(8), "{\""))
    refuse("a safetensors file, whose folder is the input");
  if (starts_with(bytes, "24ka")) refuse("a llama2.c checkpoint of version 1 or 2");
  if (starts_with(bytes, "lmgg") || starts_with(bytes, "tjgg") || starts_with(bytes, "fmgg")) {
    refuse("a GGML file from before GGUF");
  }
  if (starts_with(bytes, "NBLMODEL")) refuse("already a nibble model");
}

Checkpoint import_file(const std::filesystem::path& file) {
  const auto mapped = std::make_shared<MappedFile>(file);
  Checkpoint checkpoint;
  if (starts_with(mapped->bytes(), "GGUF")) {
    checkpoint = import_gguf(mapped);
  } else {
    refuse_foreign_formats(*mapped);
    checkpoint = import_llama2c(*mapped);
    checkpoint.storage = mapped;
  }
  return checkpoint;
}

TokenizerData padded(TokenizerData data, uint32_t vocab, std::vector<std::string>* warnings) {
  if (vocab != 0) hf::fit_vocabulary(vocab, &data, warnings);
  return data;
}

}  // namespace

size_t SourceTensor::row_bytes() const {
  return source_row_bytes(type, columns);
}

void SourceTensor::read_row(uint64_t row, float* out) const {
  if (quantized) return read_q4_row(*quantized, static_cast<uint32_t>(row), out);
  read_source_row(type, row_data(row), columns, out);
}

Checkpoint import_checkpoint(const std::filesystem::path& file,
                             const std::filesystem::path& tokenizer) {
  Checkpoint checkpoint = std::filesystem::is_directory(file)
                              ? hf::import_model_folder(file, tokenizer.empty())
                              : import_file(file);
  if (checkpoint.hyper.name.empty()) checkpoint.hyper.name = file.stem().string();
  if (!tokenizer.empty()) {
    // All warnings about a file are about its own vocabulary.
    if (!std::filesystem::is_directory(file)) checkpoint.warnings.clear();
    checkpoint.tokenizer =
        import_tokenizer(tokenizer, checkpoint.hyper.vocab, &checkpoint.warnings);
    std::vector<uint32_t>& stops = checkpoint.hyper.stop_tokens;
    const int32_t eos = checkpoint.tokenizer->eos;
    if (stops.empty() && eos >= 0) stops.push_back(static_cast<uint32_t>(eos));
  }
  return checkpoint;
}

TokenizerData import_tokenizer(const std::filesystem::path& file, uint32_t vocab,
                               std::vector<std::string>* warnings) {
  std::vector<std::string> dropped;
  if (warnings == nullptr) warnings = &dropped;
  if (std::filesystem::is_directory(file)) {
    return padded(hf::read_tokenizer_folder(file, {}, warnings), vocab, warnings);
  }
  const MappedFile mapped(file);
  if (starts_with(mapped.bytes(), "{")) {
    return padded(hf::read_tokenizer_file(file, {}, warnings), vocab, warnings);
  }
  const bool gguf = starts_with(mapped.bytes(), "GGUF");
  const bool sentencepiece = hf::is_sentencepiece(mapped);
  if (!gguf && !sentencepiece && !is_tiktoken(mapped)) {
    return import_llama2c_tokenizer(mapped, vocab);
  }
  TokenizerData data = gguf            ? import_gguf_tokenizer(mapped)
                       : sentencepiece ? hf::read_sentencepiece(mapped)
                                       : import_tiktoken(mapped);
  if (vocab != 0 && data.pieces.size() != vocab) {
    throw ImportError(fmt::format("{}: the tokenizer has {} pieces; the model's vocabulary has {}",
                                  file.string(), data.pieces.size(), vocab));
  }
  return data;
}

}  // namespace nbl::compiler
