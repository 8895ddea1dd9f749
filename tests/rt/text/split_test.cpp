// A word that is cut otherwise than the model was trained on gives other tokens.
#include "rt/text/split.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rt/text/unicode.h"
#include "tests/support/random.h"

namespace nbl {
namespace {

using List = std::vector<std::string>;

List words_of(Splitter splitter, std::string_view text) {
  Words words(splitter, text);
  List list;
  std::string_view word;
  while (words.next(&word))
    list.emplace_back(word);
  return list;
}

TEST(Words, of_gpt2_keep_contractions_and_the_space_before) {
  EXPECT_EQ(words_of(Splitter::gpt2, "I'll go, don't we'RE 12345 x"),
            (List{"I", "'ll", " go", ",", " don", "'t", " we", "'", "RE", " 12345", " x"}));
  EXPECT_EQ(words_of(Splitter::gpt2, "a  b\n\nc   "),
            (List{"a", " ", " b", "\n", "\n", "c", "   "}));
  EXPECT_EQ(words_of(Splitter::gpt2, "\t\tx \tx"), (List{"\t", "\t", "x", " ", "\t", "x"}));
  EXPECT_EQ(words_of(Splitter::gpt2, " ...!?\u20ac1"), (List{" ...!?\u20ac", "1"}));
}

TEST(Words, of_llama3_take_one_character_before_and_three_digits) {
  EXPECT_EQ(words_of(Splitter::llama3, "We'RE (here) 12345"),
            (List{"We", "'RE", " (", "here", ")", " ", "123", "45"}));
  EXPECT_EQ(words_of(Splitter::llama3, "(a) \"b\""), (List{"(a", ")", " \"", "b", "\""}));
  EXPECT_EQ(words_of(Splitter::llama3, "x !!\r\n\n  y"), (List{"x", " !!\r\n\n", " ", " y"}));
  EXPECT_EQ(words_of(Splitter::llama3, "x  \n \n  y"), (List{"x", "  \n \n", " ", " y"}));
  EXPECT_EQ(words_of(Splitter::llama3, "x   "), (List{"x", "   "}));
  EXPECT_EQ(words_of(Splitter::llama3, "\ta"), (List{"\ta"}));
}

TEST(Words, of_qwen2_take_single_digits) {
  EXPECT_EQ(words_of(Splitter::qwen2, "a 2024"), (List{"a", " ", "2", "0", "2", "4"}));
}

TEST(Words, of_starcoder_cut_digits_out_first) {
  EXPECT_EQ(words_of(Splitter::starcoder, "a 12  b"), (List{"a", " ", "1", "2", " ", " b"}));
  // The two spaces end their part, so that nothing follows them there.
  EXPECT_EQ(words_of(Splitter::starcoder, "a  1"), (List{"a", "  ", "1"}));
}

TEST(Words, of_deepseek_coder_cut_in_five_stages) {
  EXPECT_EQ(words_of(Splitter::deepseek_coder, "int x;\n\n 42"),
            (List{"int", " x", ";", "\n", "\n", " ", "4", "2"}));
  EXPECT_EQ(words_of(Splitter::deepseek_coder, "a\u4e2d\u6587b ="),
            (List{"a", "\u4e2d\u6587", "b", " ="}));
}

TEST(Words, of_deepseek_v3_join_marks_and_tags) {
  EXPECT_EQ(words_of(Splitter::deepseek_v3, "<div> 1234\u4e2d"),
            (List{"<div", ">", " ", "123", "4", "\u4e2d"}));
  EXPECT_EQ(words_of(Splitter::deepseek_v3, "e\u0301a"), (List{"e\u0301a"}));
}

TEST(Words, are_the_text_whatever_its_bytes_are) {
  std::mt19937_64 random(test::seed());
  const std::string alphabet = "aZ9 '\n\r\t.\xc3\xa9\xe4\xb8\xad\xff\x80\xf0\x9f\xa6\x99sltre";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const size_t length = random() % 40;
    for (size_t i = 0; i < length; ++i)
      text += round % 2 == 0 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
    for (uint32_t splitter = 0; splitter < kSplitterCount; ++splitter) {
      std::string joined;
      for (const std::string& word : words_of(static_cast<Splitter>(splitter), text)) {
        ASSERT_FALSE(word.empty());
        joined += word;
      }
      ASSERT_EQ(joined, text) << "splitter " << splitter;
    }
  }
}

// Counts the words instead of measuring time: a rule that looked at the whole rest again and again
// would not come back.
TEST(Words, of_long_runs_end_in_linear_time) {
  for (const char* piece : {" ", "\n", "a", "1", "!", " \n", "'", "\xff"}) {
    std::string text;
    while (text.size() < 400000)
      text += piece;
    for (uint32_t splitter = 0; splitter < kSplitterCount; ++splitter) {
      size_t bytes = 0;
      for (const std::string& word : words_of(static_cast<Splitter>(splitter), text))
        bytes += word.size();
      EXPECT_EQ(bytes, text.size());
    }
  }
}

TEST(UnicodeClass, is_right_at_the_ends_of_the_table) {
  EXPECT_EQ(unicode_class(0), UnicodeClass::other);
  EXPECT_EQ(unicode_class('\t'), UnicodeClass::space);
  EXPECT_EQ(unicode_class(' '), UnicodeClass::space);
  EXPECT_EQ(unicode_class(0xa0), UnicodeClass::space);
  EXPECT_EQ(unicode_class(0x3000), UnicodeClass::space);
  EXPECT_EQ(unicode_class(0x200b), UnicodeClass::other);  // ZERO WIDTH SPACE is no white space
  EXPECT_EQ(unicode_class('0'), UnicodeClass::number);
  EXPECT_EQ(unicode_class(0xbd), UnicodeClass::number);  // one half
  EXPECT_EQ(unicode_class('a'), UnicodeClass::letter);
  EXPECT_EQ(unicode_class(0x4e00), UnicodeClass::letter);
  EXPECT_EQ(unicode_class(0x9fff), UnicodeClass::letter);
  EXPECT_EQ(unicode_class(0x301), UnicodeClass::mark);
  EXPECT_EQ(unicode_class('$'), UnicodeClass::symbol);
  EXPECT_EQ(unicode_class('_'), UnicodeClass::punctuation);
  EXPECT_EQ(unicode_class(0x1f999), UnicodeClass::symbol);
  EXPECT_EQ(unicode_class(0x10ffff), UnicodeClass::other);
}

}  // namespace
}  // namespace nbl
