// What could break: a character split over tokens, invalid UTF-8 that is held for ever or lost, the
// first space, and the round trip through the encoder.
#include "rt/text/detokenize.h"

#include <gtest/gtest.h>

#include <random>

#include "rt/nibble.h"
#include "rt/text/spm.h"
#include "rt/text/utf8.h"
#include "tests/support/gguf_vocab.h"
#include "tests/support/vocab.h"

namespace nbl {
namespace {

static_assert(sizeof(Decoder) == sizeof(nbl_decoder));
static_assert(offsetof(Decoder, held_count) == offsetof(nbl_decoder, held_count));
static_assert(offsetof(Decoder, begun) == offsetof(nbl_decoder, begun));

const std::string kMark = "\xe2\x96\x81";

struct Text {
  const TestVocab& vocab;
  Decoder decoder{};

  // What one token adds, into a buffer of exactly the documented size.
  std::string add(uint32_t id) {
    std::vector<char> out(max_piece_bytes(vocab.tables()) + 3);
    size_t length = 0;
    Error error;
    EXPECT_TRUE(detokenize(vocab.tables(), &decoder, id, out, &length, &error).ok());
    return std::string(out.data(), length);
  }
  std::string flush() {
    char out[3];
    size_t length = 99;
    EXPECT_TRUE(detokenize_flush(&decoder, out, &length, nullptr).ok());
    EXPECT_EQ(decoder.held_count, 0);
    return std::string(out, length);
  }
};

TestVocab small_vocab() {
  TestVocab vocab;
  vocab.unknown = static_cast<int32_t>(vocab.add("<unk>", 0, kPieceUnknown));
  vocab.bos = static_cast<int32_t>(vocab.add("<s>", 0, kPieceControl));
  vocab.add_bytes();  // ids 2 .. 257
  vocab.add(kMark + "Hello", -1);
  vocab.add(kMark, -1);
  vocab.add(kMark + kMark, -1);
  vocab.add("x" + kMark + "y", -1);
  vocab.add("", -1);
  vocab.finish();
  return vocab;
}

uint32_t byte_id(int byte) {
  return 2 + static_cast<uint32_t>(byte);
}
constexpr uint32_t kUnk = 0, kBos = 1, kHello = 258, kSpace = 259, kTwo = 260, kMiddle = 261,
                   kEmpty = 262;

TEST(Detokenize, drops_one_space_at_the_beginning_of_a_text) {
  TestVocab vocab = small_vocab();
  Text text{vocab};
  EXPECT_EQ(text.add(kBos), "");
  EXPECT_EQ(text.add(kEmpty), "");
  EXPECT_EQ(text.add(kHello), "Hello");
  EXPECT_EQ(text.add(kHello), " Hello");
  EXPECT_EQ(text.add(kMiddle), "x y");
  Text spaces{vocab};
  EXPECT_EQ(spaces.add(kTwo), " ");
  EXPECT_EQ(spaces.add(kSpace), " ");
  Text single{vocab};
  EXPECT_EQ(single.add(kSpace), "");
  EXPECT_EQ(single.add(kHello), " Hello");
  vocab.add_space_prefix = false;
  Text plain{vocab};
  EXPECT_EQ(plain.add(kHello), " Hello");
}

TEST(Detokenize, shows_an_unknown_token_and_hides_a_control_token) {
  const TestVocab vocab = small_vocab();
  Text text{vocab};
  EXPECT_EQ(text.add(kUnk), "\xef\xbf\xbd");
  EXPECT_EQ(text.add(kBos), "");
}

TEST(Detokenize, holds_a_character_until_it_is_complete) {
  const TestVocab vocab = small_vocab();
  Text text{vocab};
  EXPECT_EQ(text.add(byte_id(0xf0)), "");
  EXPECT_EQ(text.add(byte_id(0x9f)), "");
  EXPECT_EQ(text.add(kBos), "") << "a control token must not disturb it";
  EXPECT_EQ(text.add(byte_id(0x98)), "");
  EXPECT_EQ(text.add(byte_id(0x80)), "\xf0\x9f\x98\x80");
  EXPECT_EQ(text.flush(), "");
  EXPECT_EQ(text.add(byte_id(0xe2)), "");
  EXPECT_EQ(text.add(byte_id(0x82)), "");
  EXPECT_EQ(text.flush(), "\xe2\x82");
}

TEST(Detokenize, passes_invalid_bytes_through_at_once) {
  const TestVocab vocab = small_vocab();
  Text text{vocab};
  EXPECT_EQ(text.add(byte_id(0x80)), "\x80");
  EXPECT_EQ(text.add(byte_id(0xff)), "\xff");
  EXPECT_EQ(text.add(byte_id(0xc0)), "\xc0");
  EXPECT_EQ(text.add(byte_id(0xe2)), "");
  EXPECT_EQ(text.add(byte_id('A')),
            "\xe2"
            "A");
  EXPECT_EQ(text.add(byte_id(0xed)), "");
  EXPECT_EQ(text.add(byte_id(0xa0)), "\xed\xa0") << "a surrogate is no character";
  EXPECT_EQ(text.add(byte_id(0xc3)), "");
  EXPECT_EQ(text.add(byte_id(0xc3)), "\xc3");
  EXPECT_EQ(text.add(byte_id(0xa4)), "\xc3\xa4");
}

TEST(Detokenize, leaves_everything_untouched_on_an_error) {
  const TestVocab vocab = small_vocab();
  Text text{vocab};
  EXPECT_EQ(text.add(byte_id(0xe2)), "");
  const Decoder before = text.decoder;
  Error error;
  char out[16] = {'#', '#'};
  size_t length = 55;
  const TokenizerTables tables = vocab.tables();
  EXPECT_EQ(detokenize(tables, &text.decoder, tables.count, out, &length, &error).code(),
            Code::bad_token_text);
  EXPECT_EQ(error.limit, tables.count);
  const size_t needed = 1 + vocab.pieces[kHello].size();
  EXPECT_EQ(
      detokenize(tables, &text.decoder, kHello, std::span(out, needed - 1), &length, &error).code(),
      Code::output_too_small);
  EXPECT_EQ(error.value, needed);
  EXPECT_EQ(detokenize_flush(&text.decoder, std::span(out, 0), &length, &error).code(),
            Code::output_too_small);
  EXPECT_EQ(length, 55u);
  EXPECT_EQ(out[0], '#');
  EXPECT_EQ(memcmp(&before, &text.decoder, sizeof before), 0);
  Decoder garbage{};
  garbage.held_count = 200;
  EXPECT_EQ(detokenize(tables, &garbage, kHello, out, &length, &error).code(), Code::bad_argument);
  EXPECT_EQ(detokenize_flush(&garbage, out, &length, &error).code(), Code::bad_argument);
}

TEST(Detokenize, emits_every_byte_in_order_and_only_whole_valid_characters_early) {
  const uint32_t seed = 20240604;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  TestVocab vocab = small_vocab();
  vocab.add_space_prefix = false;
  const uint8_t bytes[] = {'a',  0x80, 0xbf, 0xc3, 0xe0, 0xa0, 0xe2, 0x96,
                           0x81, 0xed, 0xf0, 0x90, 0xf4, 0x8f, 0xff, 0xc0};
  for (int round = 0; round < 2000; ++round) {
    Text text{vocab};
    std::string in;
    std::string out;
    for (uint32_t i = random() % 12; i > 0; --i) {
      const uint8_t byte = bytes[random() % std::size(bytes)];
      in += static_cast<char>(byte);
      out += text.add(byte_id(byte));
      // What is held is a proper prefix of a character: it was right to hold, and nothing more.
      const std::string held = in.substr(out.size());
      ASSERT_EQ(out, in.substr(0, out.size()));
      ASSERT_LE(held.size(), 3u);
      if (held.empty()) continue;
      const uint8_t lead = static_cast<uint8_t>(held[0]);
      ASSERT_LT(held.size(), utf8_length(lead));
      for (uint32_t k = 1; k < held.size(); ++k) {
        ASSERT_TRUE(utf8_continues(lead, k, static_cast<uint8_t>(held[k])));
      }
    }
    out += text.flush();
    ASSERT_EQ(out, in);
  }
}

std::string round_trip(const TestVocab& vocab, const std::string& text, bool add_bos) {
  std::vector<std::byte> scratch(spm_scratch_bytes(text.size()));
  std::vector<uint32_t> ids(text.size() + 2);
  size_t count = 0;
  EXPECT_TRUE(
      spm_encode(vocab.tables(), text, {.add_bos = add_bos}, scratch, ids, &count, nullptr).ok());
  Text back{vocab};
  std::string out;
  for (size_t i = 0; i < count; ++i)
    out += back.add(ids[i]);
  return out + back.flush();
}

TEST(Detokenize, gives_any_text_back_that_was_encoded) {
  const uint32_t seed = 20240605;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const std::string name = "tokenizers/ggml-vocab-llama-spm.gguf";
  const bool real = std::filesystem::exists(shared_path(name));
  if (!real) std::cout << "no " << shared_path(name) << ": only the small vocabulary is used\n";
  TestVocab vocab = real ? GgufVocabReader(shared_path(name)).read() : small_vocab();
  const std::vector<std::string> parts = {" ",
                                          "  ",
                                          "Hello",
                                          "na\xc3\xafve",
                                          "\xf0\x9f\x98\x80",
                                          "\n",
                                          "\t",
                                          "\xe6\xbc\xa2\xe5\xad\x97",
                                          "\xff",
                                          "\xe2\x82",
                                          "<s>",
                                          "<0x41>",
                                          "3.14",
                                          "x"};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (uint32_t i = random() % 10; i > 0; --i)
      text += parts[random() % parts.size()];
    vocab.add_space_prefix = random() % 2 == 0;
    ASSERT_EQ(round_trip(vocab, text, random() % 2 == 0), text);
  }
}

}  // namespace
}  // namespace nbl
