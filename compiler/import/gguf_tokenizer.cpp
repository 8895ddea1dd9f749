#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include "compiler/import/bpe_vocabulary.h"
#include "compiler/import/gguf.h"
#include "compiler/import/gguf_file.h"
#include "compiler/import/llama_tensors.h"
#include "compiler/import/stop_texts.h"
#include "rt/text/check.h"

namespace nbl::compiler {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";

// By ggml's token types 1..6.
constexpr PieceType kTypeOf[] = {kPieceNormal, kPieceNormal, kPieceUnknown, kPieceControl,
                                 kPieceUser,   kPieceUnused, kPieceByte};

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
  const bool bpe = data->kind == TokenizerKind::bpe;
  if (bpe && !file.has(key)) {
    data->types.assign(data->pieces.size(), kPieceNormal);
    return;
  }
  const std::vector<double> types = required(file, key, file.numbers(key));
  check_length(file, key, types.size(), data->pieces.size());
  for (size_t id = 0; id < types.size(); ++id) {
    if (!(types[id] >= 1 && types[id] < static_cast<double>(std::size(kTypeOf)))) {
      throw ImportError(fmt::format("{}: key {} has element {} = {}; it must lie in 1..6",
                                    file.path(), key, id, types[id]));
    }
    uint8_t type = kTypeOf[static_cast<size_t>(types[id])];
    if (bpe && type == kPieceByte) type = kPieceNormal;  // every piece is bytes
    if (type == kPieceByte && !is_byte_piece(data->pieces[id])) {
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

// Pieces that a text is made of are written in printable characters; others are as they look.
void read_bpe_pieces(const GgufFile& file, TokenizerData* data) {
  for (const std::string_view piece : required(file, kTokens, file.texts(kTokens)))
    data->pieces.emplace_back(piece);
  read_types(file, data);
  for (size_t id = 0; id < data->pieces.size(); ++id) {
    if (data->types[id] != kPieceNormal) continue;
    if (auto bytes = from_printable_bytes(data->pieces[id])) data->pieces[id] = *std::move(bytes);
  }
}

// Merges of pieces that the vocabulary lacks can never apply and are left out.
void read_merges(const GgufFile& file, TokenizerData* data) {
  const char* key = "tokenizer.ggml.merges";
  const PieceIndex index(*data);
  std::set<std::pair<uint32_t, uint32_t>> seen;
  uint32_t rank = 0;
  for (const std::string_view merge : required(file, key, file.texts(key))) {
    const size_t space = merge.find(' ', 1);
    const auto left = from_printable_bytes(merge.substr(0, std::min(space, merge.size())));
    const auto right = space == std::string_view::npos
                           ? std::nullopt
                           : from_printable_bytes(merge.substr(space + 1));
    if (!left || !right || left->empty() || right->empty()) {
      throw ImportError(
          fmt::format("{}: key {} has element {} = \"{}\"; two pieces with a space "
                      "between them are needed",
                      file.path(), key, rank, merge));
    }
    const auto a = index.find(*left);
    const auto b = index.find(*right);
    const auto result = index.find(*left + *right);
    if (a && b && result && seen.emplace(*a, *b).second) {
      data->merges.push_back({*a, *b, *result, rank});
    }
    ++rank;
  }
}

TokenizerData read_bpe(const GgufFile& file) {
  TokenizerData data;
  data.kind = TokenizerKind::bpe;
  data.add_space_prefix = false;
  const std::string_view pre = file.text("tokenizer.ggml.pre").value_or("gpt-2");
  const std::optional<Splitter> splitter = splitter_named(pre, &data.whole_words);
  if (!splitter) {
    throw ImportError(fmt::format(
        "{}: tokenizer.ggml.pre is {}, a rule for splitting texts that nibble does not know; it "
        "knows {}",
        file.path(), pre, fmt::join(kSplitterNames, ", ")));
  }
  data.splitter = *splitter;
  read_bpe_pieces(file, &data);
  read_merges(file, &data);
  const size_t count = data.pieces.size();
  data.unknown = token_id(file, "tokenizer.ggml.unknown_token_id", -1, count);
  data.bos = token_id(file, "tokenizer.ggml.bos_token_id", -1, count);
  data.eos = token_id(file, "tokenizer.ggml.eos_token_id", -1, count);
  const bool usual = data.splitter == Splitter::llama3;
  data.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(usual) && data.bos >= 0;
  return data;
}

bool is_known(std::string_view kind) {
  return kind == "llama" || kind == "gpt2";
}

TokenizerData read_kind(const GgufFile& file, std::string_view kind) {
  TokenizerData data = kind == "llama" ? read_spm(file) : read_bpe(file);
  data.chat_template = file.text("tokenizer.chat_template").value_or("");
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
  const std::string_view pre = file.text("tokenizer.ggml.pre").value_or("gpt-2");
  bool ignored = false;
  if (!is_known(kind) || (kind == "gpt2" && !splitter_named(pre, &ignored))) {
    warnings->push_back(fmt::format(
        "{}: tokenizer.ggml.model is {} and tokenizer.ggml.pre is {}; nibble carries llama "
        "(SentencePiece) and gpt2 (byte-level BPE) vocabularies with the splitting of {}, so the "
        "model takes and gives token ids only",
        file.path(), kind, pre, fmt::join(kSplitterNames, ", ")));
    return std::nullopt;
  }
  TokenizerData data = read_kind(file, kind);
  check_length(file, kTokens, data.pieces.size(), vocab);
  return data;
}

TokenizerData import_gguf_tokenizer(const MappedFile& mapped) {
  const GgufFile file(mapped);
  const std::string_view kind = file.text("tokenizer.ggml.model").value_or("none");
  if (is_known(kind)) return read_kind(file, kind);
  throw ImportError(
      fmt::format("{}: tokenizer.ggml.model is {}; nibble reads llama (SentencePiece) and gpt2 "
                  "(byte-level BPE) vocabularies",
                  file.path(), kind));
}

}  // namespace nbl::compiler
