// Could break: a SentencePiece file gives other pieces, scores or types than it holds, or a damaged
// one is read.
#include "compiler/import/hf/sentencepiece.h"

#include <gtest/gtest.h>

#include <cstring>

#include "compiler/eval/tokenize.h"
#include "rt/text/check.h"
#include "tests/support/import_errors.h"
#include "tests/support/random.h"
#include "tests/support/sentencepiece.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;
using namespace nbl::test::sentencepiece;

std::string error_of(const std::string& bytes) {
  const TempFile file(bytes, ".model");
  try {
    import_tokenizer(file.path(), 0);
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

TEST(SentencePiece, reads_pieces_scores_and_types) {
  const TempFile file(PieceModel{}.bytes(), ".model");
  const TokenizerData data = import_tokenizer(file.path(), 10);
  ASSERT_EQ(data.pieces.size(), 10u);
  EXPECT_EQ(data.pieces[8], "\u2581a");
  EXPECT_EQ(data.scores[8], -2);
  EXPECT_EQ(data.types, (std::vector<uint8_t>{kPieceUnknown, kPieceControl, kPieceControl,
                                              kPieceByte, kPieceNormal, kPieceNormal, kPieceNormal,
                                              kPieceNormal, kPieceNormal, kPieceUser}));
  EXPECT_EQ(data.unknown, 0);
  EXPECT_EQ(data.bos, 1);
  EXPECT_EQ(data.eos, 2);
  EXPECT_TRUE(data.add_bos && data.add_space_prefix);
  EXPECT_EQ(tokenize(data, "ab!a"), (std::vector<uint32_t>{4, 7, 3, 5}));
  EXPECT_EQ(tokenize(data, "a b?<t>"), (std::vector<uint32_t>{8, 4, 6, 0, 9}));
  const TempFile bare(PieceModel{.normalizer = number(3, 0) + number(4, 0)}.bytes());
  EXPECT_FALSE(import_tokenizer(bare.path(), 0).add_space_prefix);
}

TEST(SentencePiece, serves_a_folder_without_tokenizer_json) {
  const TempFolder folder;
  folder.write("tokenizer.model", PieceModel{}.bytes());
  folder.write("tokenizer_config.json", R"({"add_bos_token":false,"eos_token":"<t>"})");
  const TokenizerData data = import_tokenizer(folder.path(), 12);
  EXPECT_EQ(data.pieces.size(), 12u);
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(data.eos, 9);
  const TempFolder empty;
  EXPECT_THROW(import_tokenizer(empty.path(), 0), ImportError);
}

TEST(SentencePiece, refuses_what_the_device_does_not_do) {
  EXPECT_NE(error_of(PieceModel{.type = 1}.bytes()).find("unigram; nibble knows BPE"),
            std::string::npos);
  EXPECT_NE(error_of(PieceModel{.normalizer = ""}.bytes()).find("removes extra spaces"),
            std::string::npos);
  EXPECT_NE(error_of(PieceModel{.normalizer = message(2, "abc") + number(4, 0)}.bytes())
                .find("replaces characters"),
            std::string::npos);
  EXPECT_NE(error_of(PieceModel{}.bytes() + piece("x", 0, 7)).find("piece 10 has type 7"),
            std::string::npos);
  EXPECT_NE(
      error_of(PieceModel{}.bytes() + piece("x", 0, 6)).find("stands for a byte but is \"x\""),
      std::string::npos);
  EXPECT_NE(error_of(PieceModel{}.bytes() + piece("x", NAN, 1)).find("scores finite"),
            std::string::npos);
}

TEST(SentencePiece, survives_any_damage) {
  const std::string whole = PieceModel{}.bytes();
  Random random(3);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(random.below(256));
    error_of(damaged);
    error_of(whole.substr(0, at + 1));
  }
}

}  // namespace
