#include "compiler/import/hf/text_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/import/hf/json_file.h"
#include "rt/model/model.h"

namespace nbl::compiler::hf {
namespace {

constexpr std::string_view kMark = "\xe2\x96\x81";

constexpr std::string_view kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kNumber = R"(\p{N})";
// Llama 3's and Qwen 2's rules begin with the endings of English words in either case, which files
// write in two ways.
constexpr std::string_view kEndings = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
constexpr std::string_view kEndingsSpelt =
    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
constexpr std::string_view kLlama3Rest =
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Rest =
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepseekV3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The stages of each splitter of rt/text/split.h as regular expressions.
struct Stages {
  Splitter splitter;
  std::vector<std::string> rules;
};

std::vector<Stages> known_stages() {
  const std::string words(kGpt2Words), number(kNumber), endings(kEndings);
  return {
      {Splitter::gpt2, {words}},
      {Splitter::llama3, {endings + std::string(kLlama3Rest)}},
      {Splitter::qwen2, {endings + std::string(kQwen2Rest)}},
      {Splitter::starcoder, {number, words}},
      {Splitter::deepseek_coder,
       {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
        number}},
      {Splitter::deepseek_v3,
       {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        std::string(kDeepseekV3Words)}},
  };
}

// The one way in which known_stages() writes an expression: files hold line ends as they are or
// escaped.
std::string in_one_spelling(std::string_view pattern) {
  std::string text;
  if (pattern.starts_with(kEndingsSpelt)) {
    text = kEndings;
    pattern.remove_prefix(kEndingsSpelt.size());
  }
  for (const char c : pattern) {
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

// The steps of a rule that may be a sequence, null or absent.
std::vector<JsonField> steps_of(const JsonField& tokenizer, std::string_view key,
                                std::string_view list) {
  if (!tokenizer.has(key)) return {};
  const JsonField rule = tokenizer.at(key);
  if (rule.at("type").text() != "Sequence") return {rule};
  return rule.at(list).elements();
}

// What a Split or Replace looks for, with its kind: "Regex" or "String".
std::pair<std::string, std::string> pattern_of(const JsonField& step) {
  const auto [kind, value] = step.at("pattern").only();
  return {kind, value.text()};
}

struct Normalized {
  bool marks = false;   // spaces become U+2581
  bool prefix = false;  // one stands before the text
};

Normalized read_normalizer(const JsonField& tokenizer, std::vector<std::string>* warnings) {
  Normalized result;
  for (const JsonField& step : steps_of(tokenizer, "normalizer", "normalizers")) {
    const std::string& type = step.at("type").text();
    if (type == "Prepend" && step.at("prepend").text() == kMark) {
      result.prefix = true;
    } else if (type == "Replace" && pattern_of(step).second == " " &&
               step.at("content").text() == kMark) {
      result.marks = true;
    } else if (type == "NFC") {
      warnings->push_back(fmt::format(
          "{}: texts are composed (NFC) before they are cut into tokens; the device takes them as "
          "they come, so one with letters in parts gets other tokens",
          tokenizer.source()));
    } else {
      step.fail(
          fmt::format("is a {} that nibble does not know; it knows NFC, and Prepend and "
                      "Replace of U+2581",
                      type));
    }
  }
  return result;
}

// The expressions by which a byte-level pre_tokenizer cuts texts, stage by stage.
std::vector<std::string> stages_of(const std::vector<JsonField>& steps) {
  std::vector<std::string> stages;
  for (const JsonField& step : steps) {
    const std::string& type = step.at("type").text();
    if (type == "ByteLevel") {
      if (flag_or(step, "add_prefix_space", true)) {
        step.fail("has add_prefix_space, a space before every text that nibble does not add");
      }
      if (flag_or(step, "use_regex", true)) stages.emplace_back(kGpt2Words);
    } else if (type == "Digits") {
      stages.emplace_back(flag_or(step, "individual_digits", false) ? kNumber : R"(\p{N}+)");
    } else if (type == "Split") {
      const auto [kind, pattern] = pattern_of(step);
      if (text_or(step, "behavior", "Isolated") != "Isolated" || flag_or(step, "invert", false)) {
        step.fail("is a Split that is not Isolated, or inverted; nibble knows neither");
      }
      if (kind != "Regex") step.fail(fmt::format("splits by the {} \"{}\"", kind, pattern));
      stages.push_back(in_one_spelling(pattern));
    } else {
      step.fail(fmt::format("is a {}, which nibble does not know", type));
    }
  }
  return stages;
}

Splitter splitter_of(const JsonField& pre_tokenizer, const std::vector<JsonField>& steps) {
  const std::vector<std::string> stages = stages_of(steps);
  for (const Stages& known : known_stages()) {
    if (known.rules == stages) return known.splitter;
  }
  pre_tokenizer.fail(
      fmt::format("splits texts by \"{}\", a rule that nibble does not know; it knows those of {}",
                  fmt::join(stages, "\", then \""), fmt::join(kSplitterNames, ", ")));
}

void read_metaspace(const JsonField& step, TextRules* rules, bool* marks) {
  if (step.at("replacement").text() != kMark) {
    step.at("replacement")
        .fail(fmt::format("is \"{}\"; nibble writes U+2581 for a space",
                          step.at("replacement").text()));
  }
  const bool old_prefix = flag_or(step, "add_prefix_space", true);
  const std::string scheme = text_or(step, "prepend_scheme", old_prefix ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    step.fail(fmt::format("has prepend_scheme {}; nibble knows always, first and never", scheme));
  }
  *marks = true;
  rules->add_space_prefix = rules->add_space_prefix || scheme != "never";
  rules->space_after_control = scheme != "first";
  rules->splits_at_spaces = flag_or(step, "split", true);
}

TextRules read_spm(const JsonField& tokenizer, const std::vector<JsonField>& steps,
                   const Normalized& normalized) {
  TextRules rules{.add_space_prefix = normalized.prefix};
  bool marks = normalized.marks;
  for (const JsonField& step : steps) {
    const std::string& type = step.at("type").text();
    if (type == "Metaspace") {
      read_metaspace(step, &rules, &marks);
    } else if (type == "Split" && marks &&
               pattern_of(step) == std::pair<std::string, std::string>("String", " ")) {
      continue;  // of no effect: no space is left
    } else {
      step.fail(
          fmt::format("is a {}, which nibble does not know without ByteLevel; it knows "
                      "Metaspace",
                      type));
    }
  }
  if (marks) return rules;
  tokenizer.fail(
      "has neither a ByteLevel pre_tokenizer nor U+2581 for spaces; nibble knows those two kinds");
}

}  // namespace

TextRules read_text_rules(const JsonField& tokenizer, std::vector<std::string>* warnings) {
  const std::vector<JsonField> steps = steps_of(tokenizer, "pre_tokenizer", "pretokenizers");
  const Normalized normalized = read_normalizer(tokenizer, warnings);
  const bool byte_level = std::ranges::any_of(
      steps, [](const JsonField& step) { return step.at("type").text() == "ByteLevel"; });
  if (!byte_level) return read_spm(tokenizer, steps, normalized);
  if (normalized.marks || normalized.prefix) {
    tokenizer.at("normalizer").fail("writes U+2581 for spaces before ByteLevel, which has its own");
  }
  return {.kind = TokenizerKind::bpe,
          .splitter = splitter_of(tokenizer.at("pre_tokenizer"), steps)};
}

}  // namespace nbl::compiler::hf
