// Could break: a SentencePiece file gives other pieces, scores or types than it holds, or a damaged
// one is read.
#include "compiler/import/hf/sentencepiece.h"

#include <gtest/gtest.h>

#include <cstring>

#include "compiler/eval/tokenize.h"
#include "rt/text/check.h"
#include "tests/support/import_errors.h"
#include "tests/support/random.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7)
    bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}
std::string number(uint32_t field, uint64_t value) {
  return varint(field << 3) + varint(value);
}
std::string message(uint32_t field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string piece(const std::string& text, float score, uint64_t type) {
  std::string real(4, '\0');
  std::memcpy(real.data(), &score, 4);
  return message(1, message(1, text) + varint(2 << 3 | 5) + real + number(3, type));
}

struct Model {
  uint64_t type = 2;
  std::string normalizer = number(4, 0);

  std::string bytes() const {
    return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("<0x21>", 0, 6) +
           piece("\u2581", -3, 1) + piece("a", -4, 1) + piece("b", -5, 1) + piece("ab", -1, 1) +
           piece("\u2581a", -2, 1) + piece("<t>", 0, 4) +
           message(2, number(3, type) + number(40, 0) + number(41, 1) + number(42, 2)) +
           message(3, normalizer);
  }
};

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
  const TempFile file(Model{}.bytes(), ".model");
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
  const TempFile bare(Model{.normalizer = number(3, 0) + number(4, 0)}.bytes());
  EXPECT_FALSE(import_tokenizer(bare.path(), 0).add_space_prefix);
}

TEST(SentencePiece, serves_a_folder_without_tokenizer_json) {
  const TempFolder folder;
  folder.write("tokenizer.model", Model{}.bytes());
  folder.write("tokenizer_config.json", R"({"add_bos_token":false,"eos_token":"<t>"})");
  const TokenizerData data = import_tokenizer(folder.path(), 12);
  EXPECT_EQ(data.pieces.size(), 12u);
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(data.eos, 9);
  const TempFolder empty;
  EXPECT_THROW(import_tokenizer(empty.path(), 0), ImportError);
}

TEST(SentencePiece, refuses_what_the_device_does_not_do) {
  EXPECT_NE(error_of(Model{.type = 1}.bytes()).find("unigram; nibble knows BPE"),
            std::string::npos);
  EXPECT_NE(error_of(Model{.normalizer = ""}.bytes()).find("removes extra spaces"),
            std::string::npos);
  EXPECT_NE(error_of(Model{.normalizer = message(2, "abc") + number(4, 0)}.bytes())
                .find("replaces characters"),
            std::string::npos);
  EXPECT_NE(error_of(Model{}.bytes() + piece("x", 0, 7)).find("piece 10 has type 7"),
            std::string::npos);
  EXPECT_NE(error_of(Model{}.bytes() + piece("x", 0, 6)).find("stands for a byte but is \"x\""),
            std::string::npos);
  EXPECT_NE(error_of(Model{}.bytes() + piece("x", NAN, 1)).find("scores finite"),
            std::string::npos);
}

TEST(SentencePiece, survives_any_damage) {
  const std::string whole = Model{}.bytes();
  Random random(3);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(random.below(256));
    error_of(damaged);
    error_of(whole.substr(0, at + 1));
  }
}

}  // namespace
