#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "compiler/import/gguf.h"
#include "compiler/import/gguf_file.h"
#include "compiler/import/llama_tensors.h"

namespace nbl::compiler {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr uint8_t kControl = 1;
constexpr uint8_t kByte = 2;

// ggml's token types 1..6 as TokenizerData::types.
constexpr uint8_t kTypeOf[] = {0, 0, 3, kControl, 4, 5, kByte};

// Ends of a turn or text that files name only by their text.
constexpr std::string_view kStopTexts[] = {
    "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<EOT>"};

template <typename T>
T required(const GgufFile& file, const char* key, std::optional<T> value) {
  if (value) return *std::move(value);
  throw ImportError(fmt::format("{}: key {} is missing", file.path(), key));
}

void check_length(const GgufFile& file, const char* key, size_t length, size_t wanted) {
  if (length == wanted) return;
  throw ImportError(
      fmt::format("{}: key {} has {} elements; {} are needed", file.path(), key, length, wanted));
}

// -1 where the key is absent or holds the all-ones id that stands for none.
int32_t token_id(const GgufFile& file, const char* key, int32_t otherwise, size_t count) {
  const std::optional<double> value = file.number(key);
  if (!value) return otherwise < static_cast<int64_t>(count) ? otherwise : -1;
  if (*value == -1 || *value == 4294967295.0) return -1;
  if (*value >= 0 && *value < static_cast<double>(count)) return static_cast<int32_t>(*value);
  throw ImportError(fmt::format("{}: key {} is {}; the vocabulary has {} tokens", file.path(), key,
                                *value, count));
}

void read_types(const GgufFile& file, TokenizerData* data) {
  const char* key = "tokenizer.ggml.token_type";
  const std::vector<double> types = required(file, key, file.numbers(key));
  check_length(file, key, types.size(), data->pieces.size());
  for (size_t id = 0; id < types.size(); ++id) {
    if (!(types[id] >= 1 && types[id] < static_cast<double>(std::size(kTypeOf)))) {
      throw ImportError(fmt::format("{}: key {} has element {} = {}; it must lie in 1..6",
                                    file.path(), key, id, types[id]));
    }
    const uint8_t type = kTypeOf[static_cast<size_t>(types[id])];
    if (type == kByte && !is_byte_piece(data->pieces[id])) {
      throw ImportError(
          fmt::format("{}: token {} stands for a byte but is \"{}\"; it must look like "
                      "<0x0A>",
                      file.path(), id, data->pieces[id]));
    }
    data->types.push_back(type);
  }
}

void read_scores(const GgufFile& file, TokenizerData* data) {
  const char* key = "tokenizer.ggml.scores";
  const std::vector<double> scores = required(file, key, file.numbers(key));
  check_length(file, key, scores.size(), data->pieces.size());
  for (size_t id = 0; id < scores.size(); ++id) {
    if (!std::isfinite(scores[id])) {
      throw ImportError(fmt::format("{}: key {} has element {} = {}; it must be finite",
                                    file.path(), key, id, scores[id]));
    }
    data->scores.push_back(static_cast<float>(scores[id]));
  }
}

TokenizerData read_spm(const GgufFile& file) {
  TokenizerData data;
  for (const std::string_view piece : required(file, kTokens, file.texts(kTokens))) {
    data.pieces.push_back(with_visible_spaces(piece));
  }
  read_scores(file, &data);
  read_types(file, &data);
  const size_t count = data.pieces.size();
  data.unknown = token_id(file, "tokenizer.ggml.unknown_token_id", 0, count);
  data.bos = token_id(file, "tokenizer.ggml.bos_token_id", 1, count);
  data.eos = token_id(file, "tokenizer.ggml.eos_token_id", 2, count);
  data.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(true) && data.bos >= 0;
  data.add_space_prefix = file.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
  return data;
}

}  // namespace

std::vector<uint32_t> gguf_stop_tokens(const GgufFile& file, uint32_t vocab) {
  std::vector<uint32_t> stops;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    const int32_t id = token_id(file, key, -1, vocab);
    if (id >= 0) stops.push_back(static_cast<uint32_t>(id));
  }
  const std::vector<std::string_view> tokens =
      file.texts(kTokens).value_or(std::vector<std::string_view>{});
  const std::vector<double> types =
      file.numbers("tokenizer.ggml.token_type").value_or(std::vector<double>{});
  for (size_t id = 0; id < std::min({tokens.size(), types.size(), size_t{vocab}}); ++id) {
    const bool is_control = types[id] == 3;
    if (is_control && std::find(std::begin(kStopTexts), std::end(kStopTexts), tokens[id]) !=
                          std::end(kStopTexts)) {
      stops.push_back(static_cast<uint32_t>(id));
    }
  }
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  return stops;
}

std::optional<TokenizerData> gguf_tokenizer(const GgufFile& file, uint32_t vocab,
                                            std::vector<std::string>* warnings) {
  const std::string_view kind = file.text("tokenizer.ggml.model").value_or("none");
  if (kind != "llama") {
    warnings->push_back(fmt::format(
        "{}: tokenizer.ggml.model is {}; nibble carries llama (SentencePiece) vocabularies, so the "
        "model takes and gives token ids only",
        file.path(), kind));
    return std::nullopt;
  }
  TokenizerData data = read_spm(file);
  check_length(file, kTokens, data.pieces.size(), vocab);
  return data;
}

TokenizerData import_gguf_tokenizer(const MappedFile& mapped) {
  const GgufFile file(mapped);
  const std::string_view kind = file.text("tokenizer.ggml.model").value_or("none");
  if (kind == "llama") return read_spm(file);
  throw ImportError(
      fmt::format("{}: tokenizer.ggml.model is {}; nibble reads llama (SentencePiece) "
                  "vocabularies",
                  file.path(), kind));
}

}  // namespace nbl::compiler
