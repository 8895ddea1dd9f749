#include "compiler/import/hf/tokenizer_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "compiler/import/hf/sentencepiece.h"
#include "compiler/import/hf/tokenizer_json.h"
#include "compiler/import/mapped_file.h"
#include "compiler/import/stop_texts.h"
#include "rt/text/check.h"

namespace nbl::compiler::hf {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kTemplateFile = "chat_template.jinja";
constexpr const char* kSentencePieceFile = "tokenizer.model";

// A token by its text or as an object with it.
std::optional<std::string> token_text(const JsonField& config, std::string_view key) {
  if (!config.has(key)) return std::nullopt;
  const JsonField token = config.at(key);
  return token.is_text() ? token.text() : token.at("content").text();
}

// One template, or a list of them with names.
std::string template_text(const JsonField& field) {
  if (!field.is_list()) return field.text();
  for (const JsonField& named : field.elements()) {
    if (named.at("name").text() == "default") return named.at("template").text();
  }
  return {};
}

// The template that lies in a file of its own goes before that of tokenizer_config.json.
std::string read_chat_template(const fs::path& folder, const JsonField* config) {
  if (fs::exists(folder / kTemplateFile)) {
    const MappedFile file(folder / kTemplateFile);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }
  const bool has = config != nullptr && config->has("chat_template");
  return has ? template_text(config->at("chat_template")) : std::string();
}

int32_t find_piece(const TokenizerData& data, std::string_view text, int32_t otherwise) {
  const auto found = std::ranges::find(data.pieces, text);
  return found == data.pieces.end() ? otherwise : static_cast<int32_t>(found - data.pieces.begin());
}

bool is_piece(const TokenizerData& data, int32_t id) {
  return id >= 0 && static_cast<size_t>(id) < data.pieces.size();
}

// What tokenizer_config.json says goes before what the model's configuration says.
void read_tokenizer_config(const fs::path& folder, const SpecialIds& ids, TokenizerData* data) {
  int32_t bos = is_piece(*data, ids.bos) ? ids.bos : -1;
  if (is_piece(*data, ids.eos)) data->eos = ids.eos;
  std::optional<bool> add_bos;
  if (fs::exists(folder / kTokenizerConfig)) {
    const JsonFile file = read_json_file(folder / kTokenizerConfig);
    const JsonField config = file.root();
    if (const auto text = token_text(config, "bos_token")) bos = find_piece(*data, *text, bos);
    if (const auto text = token_text(config, "eos_token")) {
      data->eos = find_piece(*data, *text, data->eos);
    }
    if (config.has("add_bos_token")) add_bos = config.at("add_bos_token").flag();
    data->chat_template = read_chat_template(folder, &config);
  } else {
    data->chat_template = read_chat_template(folder, nullptr);
  }
  if (!data->add_bos) data->bos = bos;  // else it is the template's
  data->add_bos = add_bos.value_or(data->add_bos) && data->bos >= 0;
}

}  // namespace

bool has_tokenizer(const fs::path& folder) {
  return fs::exists(folder / kTokenizerFile) || fs::exists(folder / kSentencePieceFile);
}

TokenizerData read_tokenizer_folder(const fs::path& folder, const SpecialIds& ids,
                                    std::vector<std::string>* warnings) {
  if (fs::exists(folder / kTokenizerFile)) {
    return read_tokenizer_file(folder / kTokenizerFile, ids, warnings);
  }
  if (fs::exists(folder / kSentencePieceFile)) {
    TokenizerData data = read_sentencepiece(MappedFile(folder / kSentencePieceFile));
    read_tokenizer_config(folder, ids, &data);
    return data;
  }
  throw ImportError(fmt::format("{}: has neither {} nor {}", folder.string(), kTokenizerFile,
                                kSentencePieceFile));
}

TokenizerData read_tokenizer_file(const fs::path& path, const SpecialIds& ids,
                                  std::vector<std::string>* warnings) {
  TokenizerData data = read_tokenizer_json(read_json_file(path), warnings);
  read_tokenizer_config(path.parent_path(), ids, &data);
  return data;
}

void fit_vocabulary(uint32_t vocab, TokenizerData* data, std::vector<std::string>* warnings) {
  for (size_t id = vocab; id < data->pieces.size(); ++id) {
    if (data->types[id] != kPieceNormal && data->types[id] != kPieceByte) continue;
    throw ImportError(
        fmt::format("the tokenizer has the piece {} with id {}; the model knows {} "
                    "tokens",
                    data->pieces[id], id, vocab));
  }
  if (data->pieces.size() > vocab) {
    warnings->push_back(fmt::format("the tokenizer has {} tokens and the model {}: {} is left out",
                                    data->pieces.size(), vocab, data->pieces[vocab]));
  }
  data->pieces.resize(vocab);
  data->types.resize(vocab, kPieceUnused);
  if (data->kind == TokenizerKind::spm) data->scores.resize(vocab, 0);
  for (int32_t* id : {&data->bos, &data->eos, &data->unknown}) {
    if (!is_piece(*data, *id)) *id = -1;
  }
  data->add_bos = data->add_bos && data->bos >= 0;
}

std::vector<uint32_t> tokenizer_stops(const TokenizerData& data) {
  std::vector<uint32_t> stops;
  if (data.eos >= 0) stops.push_back(static_cast<uint32_t>(data.eos));
  for (size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.types[id] != kPieceControl) continue;
    const auto* found = std::ranges::find(kStopTexts, data.pieces[id]);
    if (found != std::end(kStopTexts)) stops.push_back(static_cast<uint32_t>(id));
  }
  return stops;
}

}  // namespace nbl::compiler::hf
