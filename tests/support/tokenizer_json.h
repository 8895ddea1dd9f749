// The parts that tokenizer.json files are made of, and two small ones.
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

// Small vocabularies: bytes, and a few merges.
inline json small_bpe() {
  json vocab = json::object();
  for (char c = '!'; c <= '~'; ++c)
    vocab[std::string(1, c)] = vocab.size();
  vocab["\u0120"] = vocab.size();  // 94: the space
  vocab["ab"] = vocab.size();
  vocab["abc"] = vocab.size();
  return {
      {"added_tokens", {added_token(100, "<|eot_id|>", true), added_token(101, "<t x>", false)}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level(true)},
      {"model",
       {{"type", "BPE"},
        {"vocab", vocab},
        {"merges", json::array({json::array({"a", "b"}), json::array({"ab", "c"})})}}}};
}

inline json small_spm() {
  return {{"added_tokens", {added_token(0, "<unk>", true), added_token(1, "<s>", true)}},
          {"normalizer", mark_normalizer(false)},
          {"pre_tokenizer",
           {{"type", "Split"},
            {"pattern", {{"String", " "}}},
            {"behavior", "MergedWithPrevious"},
            {"invert", false}}},
          {"post_processor", template_of("<s>", 1)},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"byte_fallback", true},
            {"vocab",
             {{"<unk>", 0},
              {"<s>", 1},
              {kMark, 2},
              {"a", 3},
              {"b", 4},
              {"ab", 5},
              {std::string(kMark) + "ab", 6},
              {std::string(kMark) + "a", 7},
              {"<0x21>", 8}}},
            {"merges",
             {"a b", std::string(kMark) + " ab", std::string(kMark) + "a b",
              std::string(kMark) + " a"}}}}};
}

inline compiler::TokenizerData read_tokenizer(const json& tokenizer,
                                              std::vector<std::string>* warnings = nullptr) {
  const TempFile file(tokenizer.dump(), ".json");
  return compiler::import_tokenizer(file.path(), 0, warnings);
}

}  // namespace nbl::test
