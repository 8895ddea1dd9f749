// Could break: tokens of tokenizer.json get another kind, or rules that the device does not have
// are taken for some that it has.
#include "compiler/import/hf/tokenizer_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compiler/eval/tokenize.h"
#include "compiler/import/hf/tokenizer_folder.h"
#include "rt/text/check.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tokenizer_json.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

TEST(TokenizerJson, reads_tokens_beside_the_model) {
  const TokenizerData data = read_tokenizer(small_bpe());
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

TEST(TokenizerJson, knows_splitters_in_the_spellings_of_files) {
  const std::string rest =
      R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string v3 =
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}"
      "\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|"
      "\\s+(?!\\S)|\\s+";
  const struct {
    Splitter splitter;
    json steps;
  } cases[] = {
      {Splitter::qwen2, json::array({split("(?i:'s|'t|'re|'ve|'m|'ll|'d)" + rest)})},
      {Splitter::qwen2,
       json::array({split("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])" + rest)})},
      {Splitter::deepseek_v3,
       json::array({split(R"(\p{N}{1,3})"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                    split(v3)})},
  };
  for (const auto& one : cases) {
    json tokenizer = small_bpe();
    json steps = one.steps;
    steps.push_back(byte_level(false));
    tokenizer["pre_tokenizer"] = sequence(steps);
    EXPECT_EQ(read_tokenizer(tokenizer).splitter, one.splitter);
  }
}

TEST(TokenizerJson, merges_characters_with_marks_for_spaces) {
  std::vector<std::string> warnings;
  const TokenizerData data = read_tokenizer(small_spm(), &warnings);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
  EXPECT_FALSE(data.add_space_prefix);
  EXPECT_EQ(tokenize(data, "ab ab!?"), (std::vector<uint32_t>{5, 6, 8, 0}));
  EXPECT_TRUE(data.add_bos);
  // A piece that merges in the list never make, but neighbours do.
  json other = small_spm();
  other["model"]["merges"].erase(2);
  read_tokenizer(other, &warnings);
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
  EXPECT_EQ(tokenize(read_tokenizer(tokenizer), "b  ab"), (std::vector<uint32_t>{4, 2, 6}));
  tokenizer["added_tokens"][2]["normalized"] = true;
  EXPECT_EQ(tokenize(read_tokenizer(tokenizer), "b  ab"), (std::vector<uint32_t>{4, 9, 5}));
}

TEST(TokenizerJson, warns_of_what_the_device_leaves_out) {
  json tokenizer = small_bpe();
  tokenizer["normalizer"] = {{"type", "NFC"}};
  tokenizer["added_tokens"][1]["rstrip"] = true;
  tokenizer["post_processor"] = template_of("<|eot_id|>", 100);
  tokenizer["post_processor"]["single"].push_back(
      {{"SpecialToken", {{"id", "<|eot_id|>"}, {"type_id", 0}}}});
  std::vector<std::string> warnings;
  EXPECT_EQ(read_tokenizer(tokenizer, &warnings).bos, 100);
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
  TokenizerData data = read_tokenizer(small_bpe());
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
    read_tokenizer(tokenizer);
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
  EXPECT_EQ(read_tokenizer(runs).pieces.size(), 9u);
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
  expect_refused(with(bpe, "/model/merges/0", json::array({"", "ab"})), {"merges[0]", "empty"});
  expect_refused(with(bpe, "/model/merges/0", json::array({"ab", ""})), {"merges[0]", "empty"});
  expect_refused(with(bpe, "/model/unk_token", "<none>"), {"unk_token", "<none>"});
  expect_refused(with(bpe, "/added_tokens/0/id", 95), {"added_tokens[0]", "id 95", "\"ab\""});
  expect_refused(with(bpe, "/added_tokens/0/content", ""), {"added_tokens[0]", "no content"});
  expect_refused(with(bpe, "/pre_tokenizer/type", nullptr), {"pre_tokenizer.type", "not text"});
  json spm = with(small_spm(), "/post_processor", template_of("<s>", 99));
  expect_refused(spm, {"post_processor", "99"});
  spm["post_processor"]["special_tokens"] = json::object();
  expect_refused(spm, {"special_tokens", "<s>"});
}

// A file of a few lines is no vocabulary of millions, all of which would be sorted.
TEST(TokenizerJson, refuses_ids_that_leave_too_many_out) {
  json bpe = small_bpe();
  const size_t listed = bpe["model"]["vocab"].size();
  const size_t all = listed + bpe["added_tokens"].size();
  bpe["added_tokens"][0]["id"] = all + hf::kMaxGaps - 1;
  EXPECT_EQ(read_tokenizer(bpe).pieces.size(), all + hf::kMaxGaps);
  bpe["added_tokens"][0]["id"] = all + hf::kMaxGaps;
  expect_refused(bpe, {"added_tokens[0]", "0.." + std::to_string(all + hf::kMaxGaps - 1)});
  bpe["model"]["vocab"]["ab"] = listed + hf::kMaxGaps;
  expect_refused(bpe, {"[\"ab\"]", "0.." + std::to_string(listed + hf::kMaxGaps - 1)});
}

TEST(TokenizerJson, refuses_texts_that_are_no_json_in_one_sentence) {
  const auto error_of = [](const std::string& text) -> std::string {
    const TempFile file(text, ".json");
    try {
      import_tokenizer(file.path(), 0);
    } catch (const ImportError& error) {
      return error.what();
    }
    return "";
  };
  for (const std::string& text :
       {std::string("{\"model\": \"\xff\xfe\"}"), std::string("{\"a\": \"\xed\xa0\x80\"}"),
        std::string("{\"a\": \"\\ud800\"}"), "{\"a\":" + std::string(1 << 20, '['),
        std::string("{\"a\": 1") + '\0' + "}"}) {
    const std::string error = error_of(text);
    EXPECT_NE(error.find("is not JSON"), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

}  // namespace
