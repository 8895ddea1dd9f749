// The parts that tokenizer.json files are made of.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "tests/support/temp_file.h"

namespace nbl::test {

using nlohmann::json;

inline constexpr const char* kMark = "\xe2\x96\x81";
inline json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}
inline json split(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}
inline json sequence(const json& steps) {
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}
inline const json kDigits = {{"type", "Digits"}, {"individual_digits", true}};

inline json added_token(size_t id, std::string_view content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

inline json template_of(const std::string& token, uint32_t id) {
  return {{"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", token}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
          {"special_tokens", {{token, {{"id", token}, {"ids", {id}}, {"tokens", {token}}}}}}};
}

inline json mark_normalizer(bool prefix) {
  json steps = json::array();
  if (prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMark}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

inline compiler::TokenizerData read_tokenizer(const json& tokenizer,
                                              std::vector<std::string>* warnings = nullptr) {
  const TempFile file(tokenizer.dump(), ".json");
  return compiler::import_tokenizer(file.path(), 0, warnings);
}

}  // namespace nbl::test
