// What could break: a sentence cut past its buffer, a field that is not filled in, an untidy table.
#include "rt/base/status.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

namespace nbl {
namespace {

constexpr Code kCodes[] = {
#define NBL_STATUS(code, sentence) Code::code,
#include "rt/base/status.def"
#undef NBL_STATUS
};
constexpr const char* kSentences[] = {
#define NBL_STATUS(code, sentence) sentence,
#include "rt/base/status.def"
#undef NBL_STATUS
};

std::string text_of(const Error& error) {
  char text[512];
  const size_t length = describe(error, text, sizeof text);
  EXPECT_EQ(text[length], 0);
  return std::string(text, length);
}

TEST(Status, carries_a_code_and_a_place) {
  const Status status(Code::bad_op, 0x123456);
  EXPECT_EQ(status.code(), Code::bad_op);
  EXPECT_EQ(status.where(), 0x123456u);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().bits(), 0u);
}

TEST(Status, fills_name_value_and_limit_into_the_sentence) {
  Error error;
  const Status status =
      fail(&error, Code::bad_tensor, 7, "layers.3.qkv", 18446744073709551615ull, 0);
  EXPECT_EQ(status.code(), Code::bad_tensor);
  EXPECT_EQ(status.where(), 7u);
  EXPECT_EQ(error.status.bits(), status.bits());
  EXPECT_EQ(text_of(error),
            "tensor layers.3.qkv is malformed: value 18446744073709551615, limit 0");
}

TEST(Status, works_without_an_error_to_fill) {
  EXPECT_EQ(fail(nullptr, Code::no_tokens, 0, "tokens").code(), Code::no_tokens);
}

TEST(Status, cuts_a_name_that_is_too_long_and_keeps_its_zero) {
  Error error;
  const std::string name(200, 'x');
  EXPECT_FALSE(fail(&error, Code::missing_argument, 0, name).ok());
  EXPECT_EQ(std::string(error.name), std::string(sizeof error.name - 1, 'x'));
  EXPECT_FALSE(fail(&error, Code::missing_argument, 0, "").ok());
  EXPECT_EQ(std::string(error.name), "") << "an old name must not shine through";
}

TEST(Status, cuts_the_sentence_to_every_buffer_size) {
  Error error;
  EXPECT_FALSE(fail(&error, Code::token_out_of_range, 0, "", 513, 512).ok());
  const std::string whole = text_of(error);
  EXPECT_EQ(whole, "token 513 is out of range: the vocabulary has 512");
  for (size_t size = 0; size <= whole.size() + 3; ++size) {
    std::vector<char> buffer(size + 4, '#');
    const size_t length = describe(error, buffer.data(), size);
    EXPECT_EQ(length, size == 0 ? 0 : std::min(size - 1, whole.size()));
    EXPECT_EQ(std::string(buffer.data(), length), whole.substr(0, length));
    if (size > 0) {
      EXPECT_EQ(buffer[length], 0);
    }
    for (size_t i = size; i < buffer.size(); ++i)
      EXPECT_EQ(buffer[i], '#') << size;
  }
}

TEST(Status, has_a_name_and_a_well_formed_sentence_for_every_code) {
  EXPECT_STREQ(code_name(Code::ok), "ok");
  EXPECT_STREQ(code_name(Code::bad_tokenizer), "bad_tokenizer");
  std::set<std::string> names;
  for (size_t i = 0; i < std::size(kCodes); ++i) {
    ASSERT_EQ(static_cast<size_t>(kCodes[i]), i);
    EXPECT_TRUE(names.insert(code_name(kCodes[i])).second) << code_name(kCodes[i]);
    Error error;
    (void)fail(&error, kCodes[i], 0, "NAME", 12, 34);
    const std::string sentence = text_of(error);
    EXPECT_GT(sentence.size(), 1u);
    EXPECT_EQ(sentence.find('{'), std::string::npos) << "unknown placeholder: " << sentence;
    EXPECT_NE(std::string(kSentences[i]).back(), '.') << sentence;
  }
  EXPECT_LT(std::size(kCodes), 256u) << "a code is 8 bits of a Status";
}

}  // namespace
}  // namespace nbl
