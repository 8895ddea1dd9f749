// What stands beside the model in tokenizer.json: tokens that texts hold as they are, and the token
// before a text.
#include <fmt/format.h>

#include "compiler/import/hf/tokenizer_json.h"
#include "compiler/import/llama_tensors.h"
#include "rt/text/check.h"

namespace nbl::compiler::hf {
namespace {

constexpr std::string_view kMark = "\xe2\x96\x81";

void add_token(const JsonField& token, uint32_t largest, TokenizerData* data) {
  const std::string& content = token.at("content").text();
  const uint32_t id = whole_number(token.at("id"), 0, largest);
  if (content.empty()) token.fail("has no content");
  const bool known = id < data->types.size() && data->types[id] != kPieceUnused;
  place_piece(token, id, content, known ? data->types[id] : uint8_t{kPieceUnused}, data);
  const bool special = flag_or(token, "special", false);
  const bool spm = data->kind == TokenizerKind::spm;
  if (spm && static_cast<int32_t>(id) == data->unknown) return;
  // A token that is looked for before spaces become U+2581 is made of spaces by merges alone.
  const bool before_marks = !flag_or(token, "normalized", !special);
  if (spm && known && !special && before_marks && content.find(kMark) != std::string::npos) return;
  data->types[id] = special ? kPieceControl : kPieceUser;
  if (spm) data->pieces[id] = with_visible_spaces(content);
}

// The only step of a template that puts a token before a text; others are not computed.
void read_single(const JsonField& processor, TokenizerData* data,
                 std::vector<std::string>* warnings) {
  bool before = true;
  for (const JsonField& step : processor.at("single").elements()) {
    const auto [kind, value] = step.only();
    if (kind == "Sequence") {
      before = false;
      continue;
    }
    if (kind != "SpecialToken") step.fail(fmt::format("is of the unknown kind {}", kind));
    const std::string& name = value.at("id").text();
    const std::vector<JsonField> ids = processor.at("special_tokens").at(name).at("ids").elements();
    if (ids.size() != 1) step.fail(fmt::format("stands for {} ids; one is needed", ids.size()));
    const uint32_t count = static_cast<uint32_t>(data->pieces.size());
    const uint32_t id = whole_number(ids[0], 0, count - 1);
    if (before && !data->add_bos) {
      data->bos = static_cast<int32_t>(id);
      data->add_bos = true;
    } else {
      warnings->push_back(
          fmt::format("{}: {} puts {} {}; the device puts one token before a text "
                      "and none after it",
                      processor.source(), processor.place(), name,
                      before ? "before a text too" : "after a text"));
    }
  }
}

}  // namespace

void read_added_tokens(const JsonField& tokenizer, TokenizerData* data,
                       std::vector<std::string>* warnings) {
  if (!tokenizer.has("added_tokens")) return;
  size_t stripping = 0;
  std::string example;
  const std::vector<JsonField> tokens = tokenizer.at("added_tokens").elements();
  const uint32_t largest = largest_id(data->pieces.size() + tokens.size());
  for (const JsonField& token : tokens) {
    add_token(token, largest, data);
    const uint8_t left = flag_or(token, "lstrip", false) ? uint8_t{kStripsLeft} : uint8_t{0};
    const uint8_t right = flag_or(token, "rstrip", false) ? uint8_t{kStripsRight} : uint8_t{0};
    if (left != 0 || right != 0) {
      data->strips[token.at("content").text()] = static_cast<uint8_t>(left | right);
    } else if (!flag_or(token, "single_word", false)) {
      continue;
    }
    if (stripping++ == 0) example = token.at("content").text();
  }
  if (stripping == 0) return;
  warnings->push_back(fmt::format(
      "{}: {} tokens, such as {}, take the spaces beside them or stand only between words; the "
      "device finds them anywhere and leaves the spaces, but for those of a chat template",
      tokenizer.source(), stripping, example));
}

void read_template(const JsonField& tokenizer, TokenizerData* data,
                   std::vector<std::string>* warnings) {
  if (!tokenizer.has("post_processor")) return;
  const JsonField processor = tokenizer.at("post_processor");
  const bool is_sequence = processor.at("type").text() == "Sequence";
  const std::vector<JsonField> steps =
      is_sequence ? processor.at("processors").elements() : std::vector<JsonField>{processor};
  for (const JsonField& step : steps) {
    const std::string& type = step.at("type").text();
    if (type == "TemplateProcessing") {
      read_single(step, data, warnings);
    } else if (type != "ByteLevel") {  // which moves no tokens
      step.fail(fmt::format("is a {}; nibble knows TemplateProcessing and ByteLevel", type));
    }
  }
}

}  // namespace nbl::compiler::hf
