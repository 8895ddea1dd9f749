// Could break: texts get other tokens than the model was trained on. The vocabularies and the ids
// that texts must give are published ones; the test writes them as tokenizer.json.
#include "compiler/import/hf/tokenizer_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_map>

#include "compiler/eval/tokenize.h"
#include "compiler/import/gguf_file.h"
#include "compiler/import/hf/tokenizer_folder.h"
#include "rt/text/check.h"
#include "tests/support/import_errors.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;
using nlohmann::json;

constexpr const char* kMark = "\xe2\x96\x81";
constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}
json split(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}
json sequence(const json& steps) {
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}
const json kDigits = {{"type", "Digits"}, {"individual_digits", true}};

json pre_tokenizer_of(const std::string& name) {
  if (name == "starcoder") return sequence({kDigits, byte_level(true)});
  if (name == "llama-bpe") return sequence({split(kLlama3Words), byte_level(false)});
  if (name == "deepseek-coder") {
    return sequence({split("[\r\n]"), split(R"(\s?\p{L}+)"), split(R"(\s?\p{P}+)"),
                     split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), kDigits,
                     byte_level(false)});
  }
  return byte_level(true);
}

json added_token(size_t id, std::string_view content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

std::filesystem::path vocabulary(const std::string& name) {
  return shared_folder() / "tokenizers" / ("ggml-vocab-" + name + ".gguf");
}

struct Tokens {
  explicit Tokens(const std::string& name)
      : mapped(vocabulary(name)),
        file(mapped),
        pieces(*file.texts("tokenizer.ggml.tokens")),
        types(*file.numbers("tokenizer.ggml.token_type")) {}
  bool is_added(size_t id) const { return types[id] == 2 || types[id] == 3 || types[id] == 4; }
  json added() const {
    json list = json::array();
    for (size_t id = 0; id < pieces.size(); ++id) {
      if (is_added(id)) list.push_back(added_token(id, pieces[id], types[id] != 4));
    }
    return list;
  }

  MappedFile mapped;
  GgufFile file;
  std::vector<std::string_view> pieces;
  std::vector<double> types;
};

json bpe_tokenizer(const std::string& name) {
  const Tokens tokens(name);
  json vocab = json::object();
  for (size_t id = 0; id < tokens.pieces.size(); ++id) {
    if (!tokens.is_added(id)) vocab[std::string(tokens.pieces[id])] = id;
  }
  return {{"version", "1.0"},
          {"added_tokens", tokens.added()},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer_of(name)},
          {"post_processor", byte_level(true)},
          {"model",
           {{"type", "BPE"},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"byte_fallback", false},
            {"ignore_merges", name == "llama-bpe"},
            {"vocab", vocab},
            {"merges", *tokens.file.texts("tokenizer.ggml.merges")}}}};
}

json template_of(const std::string& token, uint32_t id) {
  return {{"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", token}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
          {"special_tokens", {{token, {{"id", token}, {"ids", {id}}, {"tokens", {token}}}}}}};
}

json mark_normalizer(bool prefix) {
  json steps = json::array();
  if (prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMark}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

// The list that a vocabulary with scores stands for: of every piece all cuts into two others, the
// best scores first.
json merges_of_scores(const std::vector<std::string_view>& pieces,
                      const std::vector<double>& scores, bool as_pairs) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id)
    ids.emplace(pieces[id], id);
  struct Cut {
    double score;
    std::string_view left, right;
  };
  std::vector<Cut> cuts;
  for (size_t id = 0; id < pieces.size(); ++id) {
    for (size_t at = 1; at < pieces[id].size(); ++at) {
      const Cut cut{scores[id], pieces[id].substr(0, at), pieces[id].substr(at)};
      if (ids.contains(cut.left) && ids.contains(cut.right)) cuts.push_back(cut);
    }
  }
  std::ranges::stable_sort(cuts, [](const Cut& a, const Cut& b) {
    return std::tuple(-a.score, b.left.size()) < std::tuple(-b.score, a.left.size());
  });
  json merges = json::array();
  for (const Cut& cut : cuts) {
    if (as_pairs) {
      merges.push_back(json::array({cut.left, cut.right}));
    } else {
      merges.push_back(std::string(cut.left) + " " + std::string(cut.right));
    }
  }
  return merges;
}

json spm_tokenizer(bool as_pairs = false) {
  const Tokens tokens("llama-spm");
  json vocab = json::object();
  for (size_t id = 0; id < tokens.pieces.size(); ++id)
    vocab[std::string(tokens.pieces[id])] = id;
  return {
      {"version", "1.0"},
      {"added_tokens", tokens.added()},
      {"normalizer", mark_normalizer(true)},
      {"pre_tokenizer", nullptr},
      {"post_processor", template_of("<s>", 1)},
      {"model",
       {{"type", "BPE"},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", vocab},
        {"merges", merges_of_scores(tokens.pieces, *tokens.file.numbers("tokenizer.ggml.scores"),
                                    as_pairs)}}}};
}

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// As the file of expected ids has them: a line a text, each id after a space.
std::string ids_of(const TokenizerData& data, std::string texts) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::string lines;
  for (size_t at = 0; at < texts.size();) {
    const size_t end = std::min(texts.find(kSeparator, at), texts.size());
    for (const uint32_t id : tokenize(data, std::string_view(texts).substr(at, end - at)))
      lines += " " + std::to_string(id);
    lines += "\n";
    at = end + kSeparator.size();
  }
  return lines;
}

TokenizerData read(const json& tokenizer, std::vector<std::string>* warnings = nullptr) {
  const TempFile file(tokenizer.dump(), ".json");
  return import_tokenizer(file.path(), 0, warnings);
}

void expect_published_ids(const json& tokenizer, const std::string& name) {
  std::vector<std::string> warnings;
  const TokenizerData data = read(tokenizer, &warnings);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
  const auto base = name == "llama-bpe" ? shared_folder() / "tokenizers" / name : vocabulary(name);
  EXPECT_EQ(ids_of(data, read_all(base.string() + ".inp")), read_all(base.string() + ".out"));
}

class PublishedBpe : public testing::TestWithParam<const char*> {};

TEST_P(PublishedBpe, gives_the_published_ids) {
  if (!std::filesystem::exists(vocabulary(GetParam()))) GTEST_SKIP() << "no vocabularies";
  expect_published_ids(bpe_tokenizer(GetParam()), GetParam());
}

INSTANTIATE_TEST_SUITE_P(vocabularies, PublishedBpe,
                         testing::Values("gpt-2", "starcoder", "llama-bpe", "deepseek-coder"),
                         [](const auto& name) {
                           std::string text = name.param;
                           std::ranges::replace(text, '-', '_');
                           return text;
                         });

TEST(TokenizerJson, gives_the_ids_of_sentencepiece_by_its_merges) {
  if (!std::filesystem::exists(vocabulary("llama-spm"))) GTEST_SKIP() << "no vocabularies";
  json tokenizer = spm_tokenizer();
  expect_published_ids(tokenizer, "llama-spm");
  // Later files say the same in other words.
  tokenizer["normalizer"] = nullptr;
  tokenizer["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", kMark}, {"prepend_scheme", "first"}, {"split", false}};
  expect_published_ids(tokenizer, "llama-spm");
  expect_published_ids(spm_tokenizer(true), "llama-spm");
  const TokenizerData data = read(tokenizer);
  EXPECT_EQ(data.types[0], kPieceUnknown);
  EXPECT_EQ(data.types[1], kPieceControl);
  EXPECT_EQ(data.types[13], kPieceByte);
  EXPECT_EQ(data.unknown, 0);
  EXPECT_EQ(data.bos, 1);
  EXPECT_TRUE(data.add_bos);
  EXPECT_TRUE(data.add_space_prefix);
}

// Small vocabularies: bytes, and a few merges.
json small_bpe() {
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

json small_spm() {
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

TEST(TokenizerJson, reads_tokens_beside_the_model) {
  const TokenizerData data = read(small_bpe());
  ASSERT_EQ(data.pieces.size(), 102u);
  EXPECT_EQ(data.types[97], kPieceUnused);  // an id that nobody has
  EXPECT_EQ(data.types[100], kPieceControl);
  EXPECT_EQ(data.types[101], kPieceUser);
  EXPECT_EQ(data.pieces[101], "<t x>");
  EXPECT_EQ(data.pieces[94], " ");
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(tokenize(data, "abc<t x>ab"), (std::vector<uint32_t>{96, 101, 95}));
  EXPECT_EQ(hf::tokenizer_stops(data), std::vector<uint32_t>{100});
}

TEST(TokenizerJson, merges_characters_with_marks_for_spaces) {
  std::vector<std::string> warnings;
  const TokenizerData data = read(small_spm(), &warnings);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
  EXPECT_FALSE(data.add_space_prefix);
  EXPECT_EQ(tokenize(data, "ab ab!?"), (std::vector<uint32_t>{5, 6, 8, 0}));
  EXPECT_TRUE(data.add_bos);
  // A piece that merges in the list never make, but neighbours do.
  json other = small_spm();
  other["model"]["merges"].erase(2);
  read(other, &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("not those of a SentencePiece vocabulary"), std::string::npos);
}

// Pieces of several spaces: merges make them, unless they are looked for in the normalized text.
TEST(TokenizerJson, takes_runs_of_spaces_whole_where_they_are_tokens) {
  json tokenizer = small_spm();
  const std::string two = std::string(kMark) + kMark;
  tokenizer["model"]["vocab"][two] = 9;
  tokenizer["model"]["merges"].push_back(std::string(kMark) + " " + kMark);
  tokenizer["added_tokens"].push_back(added_token(9, two, false));
  EXPECT_EQ(tokenize(read(tokenizer), "b  ab"), (std::vector<uint32_t>{4, 2, 6}));
  tokenizer["added_tokens"][2]["normalized"] = true;
  EXPECT_EQ(tokenize(read(tokenizer), "b  ab"), (std::vector<uint32_t>{4, 9, 5}));
}

TEST(TokenizerJson, warns_of_what_the_device_leaves_out) {
  json tokenizer = small_bpe();
  tokenizer["normalizer"] = {{"type", "NFC"}};
  tokenizer["added_tokens"][1]["rstrip"] = true;
  tokenizer["post_processor"] = template_of("<|eot_id|>", 100);
  tokenizer["post_processor"]["single"].push_back(
      {{"SpecialToken", {{"id", "<|eot_id|>"}, {"type_id", 0}}}});
  std::vector<std::string> warnings;
  EXPECT_EQ(read(tokenizer, &warnings).bos, 100);
  ASSERT_EQ(warnings.size(), 3u);
  EXPECT_NE(warnings[0].find("NFC"), std::string::npos);
  EXPECT_NE(warnings[1].find("<t x>"), std::string::npos);
  EXPECT_NE(warnings[2].find("after a text"), std::string::npos);
}

TEST(TokenizerFolder, lets_its_config_name_tokens) {
  const TempFolder folder;
  folder.write("tokenizer.json", small_bpe().dump());
  std::vector<std::string> warnings;
  TokenizerData data = hf::read_tokenizer_folder(folder.path(), {.bos = 101, .eos = 7}, &warnings);
  EXPECT_EQ(data.bos, 101);
  EXPECT_EQ(data.eos, 7);
  EXPECT_FALSE(data.add_bos);
  folder.write("tokenizer_config.json",
               R"({"add_bos_token":true,"bos_token":{"content":"<t x>"},)"
               R"("eos_token":"<|eot_id|>","chat_template":"{{ messages }}"})");
  data = hf::read_tokenizer_folder(folder.path(), {}, &warnings);
  EXPECT_EQ(data.bos, 101);
  EXPECT_EQ(data.eos, 100);
  EXPECT_TRUE(data.add_bos);
  EXPECT_EQ(import_tokenizer(folder.path(), 110).pieces.size(), 110u);
}

TEST(TokenizerFolder, fits_the_tokens_of_the_model) {
  std::vector<std::string> warnings;
  TokenizerData data = read(small_bpe());
  hf::fit_vocabulary(101, &data, &warnings);
  EXPECT_EQ(data.pieces.size(), 101u);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("<t x>"), std::string::npos);
  hf::fit_vocabulary(120, &data, &warnings);
  EXPECT_EQ(data.types[119], kPieceUnused);
  EXPECT_EQ(tokenize(data, "abc"), std::vector<uint32_t>{96});
  EXPECT_THROW(hf::fit_vocabulary(96, &data, &warnings), ImportError);
}

void expect_refused(const json& tokenizer, const std::vector<std::string>& parts) {
  std::string error;
  try {
    read(tokenizer);
  } catch (const ImportError& failure) {
    error = failure.what();
  }
  ASSERT_NE(error, "") << "was read; expected " << parts[0];
  for (const std::string& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

TEST(TokenizerJson, refuses_by_name_what_it_does_not_know) {
  const auto with = [](json tokenizer, const char* pointer, const json& value) {
    tokenizer[json::json_pointer(pointer)] = value;
    return tokenizer;
  };
  const json bpe = small_bpe();
  const json spm = small_spm();
  expect_refused(with(bpe, "/model/type", "WordPiece"), {"WordPiece", "BPE"});
  expect_refused(with(bpe, "/model/type", "Unigram"), {"Unigram", "BPE"});
  expect_refused(with(bpe, "/model/end_of_word_suffix", "</w>"), {"end_of_word_suffix", "</w>"});
  expect_refused(with(bpe, "/normalizer", {{"type", "Lowercase"}}), {"Lowercase", "NFC"});
  expect_refused(with(bpe, "/normalizer", mark_normalizer(true)), {"normalizer", "ByteLevel"});
  expect_refused(with(bpe, "/pre_tokenizer", sequence({split("[a-z]+"), byte_level(false)})),
                 {"pre_tokenizer", "\"[a-z]+\"", "llama3"});
  expect_refused(with(bpe, "/pre_tokenizer", sequence({kDigits, byte_level(false)})),
                 {"pre_tokenizer", R"("\p{N}")"});
  expect_refused(
      with(bpe, "/pre_tokenizer", sequence({{{"type", "Whitespace"}}, byte_level(true)})),
      {"pretokenizers[0]", "Whitespace"});
  expect_refused(with(bpe, "/pre_tokenizer/add_prefix_space", true), {"add_prefix_space"});
  json inverted = split("x");
  inverted["behavior"] = "Removed";
  expect_refused(with(bpe, "/pre_tokenizer", sequence({inverted, byte_level(true)})), {"Isolated"});
  expect_refused(with(bpe, "/pre_tokenizer", nullptr), {"neither", "ByteLevel", "U+2581"});
  expect_refused(with(spm, "/pre_tokenizer", {{"type", "BertPreTokenizer"}}),
                 {"BertPreTokenizer", "Metaspace"});
  expect_refused(with(spm, "/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "_"}}),
                 {"replacement", "\"_\""});
  json runs = with(spm, "/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", kMark}});
  EXPECT_EQ(read(runs).pieces.size(), 9u);
  runs["model"]["vocab"][std::string(kMark) + kMark] = 9;
  runs["model"]["merges"].push_back(std::string(kMark) + " " + kMark);
  expect_refused(runs, {"pre_tokenizer", "splits texts at spaces"});
  expect_refused(with(spm, "/post_processor", {{"type", "BertProcessing"}}),
                 {"post_processor", "BertProcessing"});
}

TEST(TokenizerJson, refuses_what_is_malformed) {
  const auto with = [](json tokenizer, const char* pointer, const json& value) {
    tokenizer[json::json_pointer(pointer)] = value;
    return tokenizer;
  };
  const json bpe = small_bpe();
  expect_refused(with(bpe, "/model", 7), {"model"});
  expect_refused(with(bpe, "/model/vocab", json::array()), {"vocab", "no object"});
  expect_refused(with(bpe, "/model/vocab", json::object()), {"vocab", "empty"});
  expect_refused(with(bpe, "/model/vocab/ab", 1), {"[\"ab\"]", "id 1"});
  expect_refused(with(bpe, "/model/vocab/ab", -1), {"[\"ab\"]", "-1"});
  expect_refused(with(bpe, "/model/vocab/ab", 4294967295u), {"[\"ab\"]", "4294967295"});
  expect_refused(with(bpe, "/model/merges/0", "ab"), {"merges[0]", "\"ab\""});
  expect_refused(with(bpe, "/model/merges/0", "a b c"), {"merges[0]"});
  expect_refused(with(bpe, "/model/merges/0", json::array({"a"})), {"merges[0]", "1 pieces"});
  expect_refused(with(bpe, "/model/merges/0", json::array({"a", "z"})), {"merges[0]", "\"az\""});
  expect_refused(with(bpe, "/model/merges/1", json::array({"a", "b"})), {"merges[1]", "again"});
  expect_refused(with(bpe, "/model/unk_token", "<none>"), {"unk_token", "<none>"});
  expect_refused(with(bpe, "/added_tokens/0/id", 95), {"added_tokens[0]", "id 95", "\"ab\""});
  expect_refused(with(bpe, "/added_tokens/0/content", ""), {"added_tokens[0]", "no content"});
  expect_refused(with(bpe, "/pre_tokenizer/type", nullptr), {"pre_tokenizer.type", "not text"});
  json spm = with(small_spm(), "/post_processor", template_of("<s>", 99));
  expect_refused(spm, {"post_processor", "99"});
  spm["post_processor"]["special_tokens"] = json::object();
  expect_refused(spm, {"special_tokens", "<s>"});
}

}  // namespace
