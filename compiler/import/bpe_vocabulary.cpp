#include "compiler/import/bpe_vocabulary.h"

#include <array>

#include "rt/text/check.h"
#include "rt/text/unicode.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kPrintableEnd = 0x100 + 68;  // 68 bytes are not printable themselves

bool is_printable(uint32_t byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

// Code point -> byte, -1 = none.
std::array<int32_t, kPrintableEnd> byte_table() {
  std::array<int32_t, kPrintableEnd> table{};
  table.fill(-1);
  size_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    table[is_printable(byte) ? byte : next++] = static_cast<int32_t>(byte);
  }
  return table;
}

struct Family {
  std::string_view name;
  Splitter splitter;
  bool whole_words;
};
// Source   the values that llama.cpp's convert_hf_to_gguf.py writes into tokenizer.ggml.pre.
constexpr Family kFamilies[] = {
    {"gpt2", Splitter::gpt2, false},
    {"gpt-2", Splitter::gpt2, false},
    {"phi-2", Splitter::gpt2, false},
    {"olmo", Splitter::gpt2, false},
    {"mpt", Splitter::gpt2, false},
    {"llama3", Splitter::llama3, true},
    {"llama-v3", Splitter::llama3, true},
    {"llama-bpe", Splitter::llama3, true},
    {"smaug-bpe", Splitter::llama3, true},
    {"falcon3", Splitter::llama3, true},
    {"dbrx", Splitter::llama3, false},
    {"qwen2", Splitter::qwen2, false},
    {"deepseek-r1-qwen", Splitter::qwen2, false},
    {"stablelm2", Splitter::qwen2, false},
    {"starcoder", Splitter::starcoder, false},
    {"refact", Splitter::starcoder, false},
    {"command-r", Splitter::starcoder, false},
    {"smollm", Splitter::starcoder, false},
    {"codeshell", Splitter::starcoder, false},
    {"deepseek_coder", Splitter::deepseek_coder, false},
    {"deepseek-coder", Splitter::deepseek_coder, false},
    {"deepseek_v3", Splitter::deepseek_v3, false},
    {"deepseek-v3", Splitter::deepseek_v3, false},
};

}  // namespace

std::optional<std::string> from_printable_bytes(std::string_view text) {
  static const std::array<int32_t, kPrintableEnd> table = byte_table();
  std::string bytes;
  while (!text.empty()) {
    const Character c = character_at(text.data(), text.size());
    if (c.code_point >= kPrintableEnd || table[c.code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(table[c.code_point]));
    text.remove_prefix(c.bytes);
  }
  return bytes;
}

PieceIndex::PieceIndex(const TokenizerData& data) {
  ids_.reserve(data.pieces.size());
  for (size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.types[id] == kPieceNormal) ids_.emplace(data.pieces[id], static_cast<uint32_t>(id));
  }
}

std::optional<uint32_t> PieceIndex::find(std::string_view bytes) const {
  const auto found = ids_.find(bytes);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Splitter> splitter_named(std::string_view name, bool* whole_words) {
  for (const Family& family : kFamilies) {
    if (family.name != name) continue;
    *whole_words = family.whole_words;
    return family.splitter;
  }
  return std::nullopt;
}

std::vector<Merge> merges_of_ranks(const TokenizerData& data) {
  const PieceIndex index(data);
  std::vector<Merge> merges;
  for (size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.types[id] != kPieceNormal) continue;
    const std::string_view piece = data.pieces[id];
    const auto result = static_cast<uint32_t>(id);
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const std::optional<uint32_t> left = index.find(piece.substr(0, cut));
      const std::optional<uint32_t> right = index.find(piece.substr(cut));
      if (left && right) merges.push_back({*left, *right, result, result});
    }
  }
  return merges;
}

}  // namespace nbl::compiler
