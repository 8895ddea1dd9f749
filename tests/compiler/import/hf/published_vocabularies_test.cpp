// Could break: texts get other tokens than the model was trained on. The vocabularies and the ids
// that texts must give are published ones; the test writes them as tokenizer.json.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <unordered_map>

#include "compiler/eval/tokenize.h"
#include "compiler/import/gguf_file.h"
#include "rt/text/check.h"
#include "tests/support/import_errors.h"
#include "tests/support/tokenizer_json.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

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

void expect_published_ids(const json& tokenizer, const std::string& name) {
  std::vector<std::string> warnings;
  const TokenizerData data = read_tokenizer(tokenizer, &warnings);
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
  const TokenizerData data = read_tokenizer(tokenizer);
  EXPECT_EQ(data.types[0], kPieceUnknown);
  EXPECT_EQ(data.types[1], kPieceControl);
  EXPECT_EQ(data.types[13], kPieceByte);
  EXPECT_EQ(data.unknown, 0);
  EXPECT_EQ(data.bos, 1);
  EXPECT_TRUE(data.add_bos);
  EXPECT_TRUE(data.add_space_prefix);
}

}  // namespace
