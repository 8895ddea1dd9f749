#include "compiler/import/hf/tokenizer_json.h"

#include <fmt/format.h>

#include <unordered_map>

#include "compiler/import/bpe_vocabulary.h"
#include "compiler/import/hf/text_rules.h"
#include "compiler/import/llama_tensors.h"
#include "rt/text/check.h"

namespace nbl::compiler::hf {
namespace {

using Ids = std::unordered_map<std::string_view, uint32_t>;

void check_model(const JsonField& model) {
  // Files from before "type" are told apart by what they hold.
  const std::string type = text_or(model, "type", model.has("merges") ? "BPE" : "unknown");
  if (type != "BPE") {
    model.fail(
        fmt::format("is a {}; nibble knows BPE: tokenizer.model or a GGUF file of the model "
                    "may serve with --tokenizer",
                    type));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_or(model, key, "").empty()) {
      model.at(key).fail(fmt::format("is \"{}\"; nibble knows none", model.at(key).text()));
    }
  }
}

void read_vocabulary(const JsonField& model, TokenizerData* data, Ids* ids) {
  const JsonField vocab = model.at("vocab");
  if (!vocab.value().is_object()) vocab.fail("is no object of pieces and ids");
  const uint32_t largest = largest_id(vocab.value().size());
  for (const auto& [piece, id] : vocab.value().items()) {
    const JsonField where(vocab.source(), id, fmt::format("{}[\"{}\"]", vocab.place(), piece));
    const uint32_t number = whole_number(where, 0, largest);
    place_piece(where, number, piece, kPieceNormal, data);
    ids->emplace(piece, number);
  }
  if (data->pieces.empty()) vocab.fail("is empty");
}

// "a b", or ["a", "b"].
std::pair<std::string, std::string> parts_of(const JsonField& merge) {
  if (merge.is_list()) {
    const std::vector<JsonField> parts = merge.elements();
    if (parts.size() == 2) {
      if (parts[0].text().empty() || parts[1].text().empty()) merge.fail("has an empty piece");
      return {parts[0].text(), parts[1].text()};
    }
    merge.fail(fmt::format("has {} pieces; two are needed", parts.size()));
  }
  const std::string& text = merge.text();
  const size_t space = text.find(' ');
  if (space == std::string::npos || space == 0 || space + 1 == text.size() ||
      text.find(' ', space + 1) != std::string::npos) {
    merge.fail(fmt::format("is \"{}\"; two pieces with a space between them are needed", text));
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

std::vector<Merge> read_merges(const JsonField& model, const Ids& ids) {
  const JsonField list = model.at("merges");
  const auto id_of = [&](const JsonField& merge, const std::string& piece) {
    const auto found = ids.find(piece);
    if (found != ids.end()) return found->second;
    merge.fail(fmt::format("needs the piece \"{}\", which the vocabulary lacks", piece));
  };
  std::vector<Merge> merges;
  std::unordered_map<uint64_t, size_t> seen;
  for (const JsonField& merge : list.elements()) {
    const auto [left, right] = parts_of(merge);
    Merge made{id_of(merge, left), id_of(merge, right), id_of(merge, left + right),
               static_cast<uint32_t>(merges.size())};
    const auto [other, is_new] =
        seen.emplace(uint64_t{made.left} << 32 | made.right, merges.size());
    if (!is_new) merge.fail(fmt::format("is merge {} again", other->second));
    merges.push_back(made);
  }
  return merges;
}

void set_unknown(const JsonField& model, const Ids& ids, TokenizerData* data) {
  const std::string piece = text_or(model, "unk_token", "");
  if (piece.empty()) return;
  const auto found = ids.find(piece);
  if (found == ids.end()) {
    model.at("unk_token").fail(fmt::format("is \"{}\", which the vocabulary lacks", piece));
  }
  data->unknown = static_cast<int32_t>(found->second);
  if (data->kind == TokenizerKind::spm) data->types[found->second] = kPieceUnknown;
}

void set_byte_pieces(const JsonField& model, TokenizerData* data) {
  if (!flag_or(model, "byte_fallback", false)) return;
  for (size_t id = 0; id < data->pieces.size(); ++id) {
    if (is_byte_piece(data->pieces[id])) data->types[id] = kPieceByte;
  }
}

// Pieces that a text is made of are written in printable characters; others are as they look.
void decode_pieces(TokenizerData* data) {
  for (size_t id = 0; id < data->pieces.size(); ++id) {
    if (data->types[id] != kPieceNormal) continue;
    if (auto bytes = from_printable_bytes(data->pieces[id])) data->pieces[id] = *std::move(bytes);
  }
}

void check_spaces(const JsonField& tokenizer, const TextRules& rules,
                  const std::vector<Merge>& merges, const TokenizerData& data) {
  constexpr std::string_view kMark = "\xe2\x96\x81";
  if (!rules.splits_at_spaces) return;
  for (const Merge& merge : merges) {
    const std::string& piece = data.pieces[merge.result];
    if (piece.find(kMark, 1) == std::string::npos) continue;
    tokenizer.at("pre_tokenizer")
        .fail(fmt::format("splits texts at spaces, which nibble does not do where merges reach "
                          "over them, as that of \"{}\" does",
                          piece));
  }
}

TextRules read_rules(const JsonField& root, std::vector<std::string>* warnings) {
  try {
    check_model(root.at("model"));
    return read_text_rules(root, warnings);
  } catch (const ImportError& error) {
    throw UnknownVocabulary(error.what());
  }
}

}  // namespace

void place_piece(const JsonField& where, uint32_t id, std::string text, uint8_t type,
                 TokenizerData* data) {
  if (id >= data->pieces.size()) {
    data->pieces.resize(id + 1);
    data->types.resize(id + 1, kPieceUnused);
  }
  if (data->types[id] != kPieceUnused && data->pieces[id] != text) {
    where.fail(fmt::format("has the id {}, as \"{}\" has", id, data->pieces[id]));
  }
  data->pieces[id] = std::move(text);
  data->types[id] = type;
}

TokenizerData read_tokenizer_json(const JsonFile& file, std::vector<std::string>* warnings) {
  const JsonField root = file.root();
  const TextRules rules = read_rules(root, warnings);
  const JsonField model = root.at("model");
  TokenizerData data;
  data.kind = rules.kind;
  data.splitter = rules.splitter;
  data.add_space_prefix = rules.add_space_prefix;
  data.space_after_control = rules.space_after_control;
  data.add_bos = false;
  data.whole_words = flag_or(model, "ignore_merges", false);
  Ids ids;
  read_vocabulary(model, &data, &ids);
  std::vector<Merge> merges = read_merges(model, ids);
  check_spaces(root, rules, merges, data);
  set_unknown(model, ids, &data);
  if (data.kind == TokenizerKind::bpe) {
    read_added_tokens(root, &data, warnings);
    decode_pieces(&data);
    data.merges = std::move(merges);
  } else {
    set_byte_pieces(model, &data);
    read_added_tokens(root, &data, warnings);
    data.scores = scores_of_merges(file.path, data, merges, warnings);
  }
  read_template(root, &data, warnings);
  return data;
}

}  // namespace nbl::compiler::hf
