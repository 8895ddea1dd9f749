// A vocabulary read wrongly gives a model tokens that it was not trained on.
#include "compiler/import/bpe_vocabulary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <sstream>

#include "compiler/eval/tokenize.h"
#include "compiler/import/gguf_writer.h"
#include "tests/support/temp_file.h"
#include "tests/support/vocab.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

using Texts = std::vector<std::string>;
using Ids = std::vector<uint32_t>;

// The printable character of each byte, by GPT-2's table.
std::string printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    uint32_t code = byte;
    const bool shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    if (!shown) {
      code = 0x100;
      for (uint32_t other = 0; other < byte; ++other)
        code += !((other >= 33 && other <= 126) || (other >= 161 && other <= 172) || other >= 174);
    }
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xc0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3f));
    }
  }
  return text;
}

struct Vocabulary {
  Texts tokens;
  std::vector<int32_t> types;
  Texts merges = {"\u0120 a", "a b", "\u0120a b"};
  std::string pre = "gpt-2";

  Vocabulary() {
    for (int byte = 0; byte < 256; ++byte)
      tokens.push_back(printable(std::string(1, static_cast<char>(byte))));
    for (const char* token : {"\u0120a", "ab", "\u0120ab", "<|end|>", "<\uff5ctool\u2581>"})
      tokens.emplace_back(token);
    types.assign(tokens.size(), 1);
    types[259] = 3;
    types[260] = 4;
  }

  std::string bytes() const {
    GgufWriter writer;
    writer.add_text("tokenizer.ggml.model", "gpt2");
    writer.add_text("tokenizer.ggml.pre", pre);
    writer.add_texts("tokenizer.ggml.tokens", tokens);
    if (!types.empty()) writer.add_ints("tokenizer.ggml.token_type", types);
    writer.add_texts("tokenizer.ggml.merges", merges);
    writer.add_u32("tokenizer.ggml.eos_token_id", 259);
    return writer.header();
  }

  TokenizerData read() const { return import_tokenizer(TempFile(bytes()).path(), 0); }
};

// The sentence that an import is refused with; "" where it is not.
template <typename Import>
std::string refusal(const Import& import) {
  try {
    import();
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

TEST(BpeVocabulary, reads_printable_bytes_as_gpt2_writes_them) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    EXPECT_EQ(from_printable_bytes(printable(one)), one) << byte;
  }
  EXPECT_EQ(from_printable_bytes("\u0120x\u010a"), " x\n");
  EXPECT_EQ(from_printable_bytes("\uff5c"), std::nullopt);
  EXPECT_EQ(from_printable_bytes("a b"), std::nullopt);
}

TEST(BpeVocabulary, of_a_gguf_file_keeps_pieces_merges_and_special_tokens) {
  const TokenizerData data = Vocabulary().read();
  EXPECT_EQ(data.kind, TokenizerKind::bpe);
  EXPECT_EQ(data.splitter, Splitter::gpt2);
  EXPECT_EQ(data.pieces[256], " a");
  EXPECT_EQ(data.pieces[260], "<\uff5ctool\u2581>");
  EXPECT_EQ(data.eos, 259);
  ASSERT_EQ(data.merges.size(), 3u);
  EXPECT_EQ(data.merges[2].left, 256u);
  EXPECT_EQ(data.merges[2].right, uint32_t{'b'});
  EXPECT_EQ(data.merges[2].result, 258u);
  EXPECT_EQ(tokenize(data, "ab ab<|end|>x<\uff5ctool\u2581>"),
            (Ids{257, 258, '<', '|', 'e', 'n', 'd', '|', '>', 'x', 260}));
}

TEST(BpeVocabulary, without_types_is_all_normal_pieces) {
  Vocabulary vocabulary;
  vocabulary.types.clear();
  EXPECT_EQ(tokenize(vocabulary.read(), "ab"), (Ids{257}));
}

TEST(BpeVocabulary, leaves_out_merges_that_can_never_apply) {
  Vocabulary vocabulary;
  vocabulary.merges = {"x y", "a b", "a b", "\u0120a b"};
  const TokenizerData data = vocabulary.read();
  ASSERT_EQ(data.merges.size(), 2u);
  EXPECT_EQ(data.merges[0].rank, 1u);
  EXPECT_EQ(data.merges[1].rank, 3u);
}

TEST(BpeVocabulary, refuses_merges_that_are_not_two_pieces) {
  for (const char* merge : {"ab", "", " b", "a ", "a b c", "\uff5c a"}) {
    Vocabulary vocabulary;
    vocabulary.merges[1] = merge;
    EXPECT_NE(refusal([&] { vocabulary.read(); }).find("tokenizer.ggml.merges has element 1"),
              std::string::npos)
        << merge;
  }
}

TEST(BpeVocabulary, refuses_a_splitting_rule_that_it_does_not_know) {
  Vocabulary vocabulary;
  vocabulary.pre = "tekken";
  const std::string sentence = refusal([&] { vocabulary.read(); });
  EXPECT_NE(sentence.find("tokenizer.ggml.pre is tekken"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("llama3"), std::string::npos) << sentence;
}

TEST(BpeVocabulary, of_ranks_merges_every_pair_that_makes_a_piece) {
  TokenizerData data;
  data.kind = TokenizerKind::bpe;
  data.pieces = {"a", "b", "c", "ab", "bc", "abc"};
  data.types.assign(data.pieces.size(), kPieceNormal);
  data.merges = merges_of_ranks(data);
  EXPECT_EQ(data.merges.size(), 4u);  // ab, bc, and abc in two ways
  EXPECT_EQ(tokenize(data, "abcbc"), (Ids{5, 4}));
}

TEST(Tiktoken, refuses_lines_and_sizes_that_are_not_llama_3s) {
  const std::string good = "IQ== 0\nIg== 1\n";
  EXPECT_NE(refusal([&] { import_tokenizer(TempFile(good).path(), 0); }).find("has 2 ranks"),
            std::string::npos);
  for (const char* line : {"Ig== 2", "Ig==", "I?== 1", "Ig= 1", "Ig== 1x", "", " 1"}) {
    const TempFile file("IQ== 0\n" + std::string(line) + "\nIw== 2\n");
    EXPECT_NE(refusal([&] { import_tokenizer(file.path(), 0); }).find("line 2"), std::string::npos)
        << line;
  }
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The texts of llama.cpp's vocabulary tests and the ids that its own encoder and the models'
// publishers' give.
struct Published {
  const char* vocabulary;
  const char* texts;
};
class PublishedVocabulary : public testing::TestWithParam<Published> {};

TEST_P(PublishedVocabulary, gives_the_published_ids) {
  const std::filesystem::path folder = shared_path("tokenizers");
  const std::filesystem::path vocabulary = folder / GetParam().vocabulary;
  if (!std::filesystem::exists(vocabulary)) {
    GTEST_SKIP() << "no " << vocabulary << ": set NIBBLE_SHARED to the test material";
  }
  const TokenizerData data = import_tokenizer(vocabulary, 0);
  std::string texts = read_text(folder / (std::string(GetParam().texts) + ".inp"));
  std::istringstream lines(read_text(folder / (std::string(GetParam().texts) + ".out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  size_t count = 0;
  for (size_t end; (end = texts.find(separator)) != std::string::npos; ++count) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<uint32_t>(numbers), {}};
    EXPECT_EQ(tokenize(data, texts.substr(0, end)), expected) << texts.substr(0, end);
    texts.erase(0, end + separator.size());
  }
  EXPECT_GT(count, 40u);
}

INSTANTIATE_TEST_SUITE_P(
    Of, PublishedVocabulary,
    testing::Values(Published{"ggml-vocab-gpt-2.gguf", "ggml-vocab-gpt-2.gguf"},
                    Published{"ggml-vocab-starcoder.gguf", "ggml-vocab-starcoder.gguf"},
                    Published{"ggml-vocab-deepseek-coder.gguf", "ggml-vocab-deepseek-coder.gguf"},
                    Published{"ggml-vocab-llama-spm.gguf", "ggml-vocab-llama-spm.gguf"},
                    Published{"ggml-vocab-llama-bpe.gguf", "llama-bpe"},
                    Published{"llama3-tiktoken.model", "llama-bpe"}),
    [](const auto& published) {
      std::string name = published.param.vocabulary;
      std::ranges::replace_if(
          name, [](char c) { return !std::isalnum(c); }, '_');
      return name;
    });

}  // namespace
