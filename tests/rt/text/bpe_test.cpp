// Merging in another order than the vocabulary says gives tokens that the model was not trained on.
#include "rt/text/bpe.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rt/text/detokenize.h"
#include "rt/text/split.h"
#include "tests/support/random.h"
#include "tests/support/vocab.h"

namespace nbl {
namespace {

using Ids = std::vector<uint32_t>;

// Encodes with exactly the scratch that the formula says, guarded behind.
Ids encode(const TestVocab& vocab, const std::string& text, EncodeOptions options = {}) {
  const size_t scratch_bytes = bpe_scratch_bytes(text.size());
  std::vector<std::byte> scratch(scratch_bytes + 64, std::byte{0xa5});
  Ids out(text.size() + 1);
  size_t count = 12345;
  Error error;
  const Status status = bpe_encode(vocab.tables(), text, options,
                                   std::span(scratch).first(scratch_bytes), out, &count, &error);
  EXPECT_TRUE(status.ok()) << code_name(status.code());
  for (size_t i = scratch_bytes; i < scratch.size(); ++i) {
    EXPECT_EQ(scratch[i], std::byte{0xa5}) << "wrote past the scratch";
  }
  out.resize(count);
  return out;
}

// The definition: again and again the pair of the lowest rank, the leftmost of equals.
Ids merge_naively(const TestVocab& vocab, std::string_view word) {
  Ids ids;
  for (const char c : word)
    ids.push_back(static_cast<uint32_t>(vocab.byte_tokens[static_cast<uint8_t>(c)]));
  for (;;) {
    size_t best = ids.size();
    std::pair<uint32_t, uint32_t> best_merge{0, UINT32_MAX};
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = vocab.merges.find({ids[i], ids[i + 1]});
      if (found == vocab.merges.end() || found->second.second >= best_merge.second) continue;
      best = i;
      best_merge = found->second;
    }
    if (best == ids.size()) return ids;
    ids[best] = best_merge.first;
    ids.erase(ids.begin() + static_cast<long>(best) + 1);
  }
}

TestVocab abc_vocab() {
  TestVocab vocab;
  vocab.add_byte_pieces();
  const uint32_t ab = vocab.merge('a', 'b');
  vocab.merge(ab, 'c');
  vocab.merge('b', 'c');
  vocab.bos = static_cast<int32_t>(vocab.add("<s>", 0, kPieceControl));
  vocab.add("<tool>", 0, kPieceUser);
  vocab.finish();
  return vocab;
}

TEST(Bpe, merges_the_lowest_rank_first) {
  const TestVocab vocab = abc_vocab();
  EXPECT_EQ(encode(vocab, "abc"), (Ids{257}));
  EXPECT_EQ(encode(vocab, "bc"), (Ids{258}));
  EXPECT_EQ(encode(vocab, "abab"), (Ids{256, 256}));
  EXPECT_EQ(encode(vocab, ""), (Ids{}));
}

// "bc" is merged before its 'a' is looked at, and (a, bc) is no merge although "abc" is a piece.
TEST(Bpe, merges_only_listed_pairs) {
  TestVocab vocab;
  vocab.add_byte_pieces();
  const uint32_t bc = vocab.merge('b', 'c');
  const uint32_t ab = vocab.merge('a', 'b');
  vocab.merge(ab, 'c');
  vocab.finish();
  EXPECT_EQ(encode(vocab, "abc"), (Ids{'a', bc}));
}

TEST(Bpe, takes_a_word_that_is_a_piece_whole_where_the_vocabulary_says_so) {
  TestVocab vocab;
  vocab.add_byte_pieces();
  const uint32_t word = vocab.add("word", 0);
  vocab.finish();
  EXPECT_EQ(encode(vocab, "word"), (Ids{'w', 'o', 'r', 'd'}));
  vocab.whole_words = true;
  EXPECT_EQ(encode(vocab, "word"), (Ids{word}));
  EXPECT_EQ(encode(vocab, "word word"), (Ids{word, ' ', 'w', 'o', 'r', 'd'}));
}

TEST(Bpe, keeps_user_pieces_whole_and_control_pieces_on_request) {
  const TestVocab vocab = abc_vocab();
  const auto bos = static_cast<uint32_t>(vocab.bos);
  EXPECT_EQ(encode(vocab, "a<tool>b"), (Ids{'a', bos + 1, 'b'}));
  EXPECT_EQ(encode(vocab, "<s>"), (Ids{'<', 's', '>'}));
  EXPECT_EQ(encode(vocab, "<s>ab<s>", {.special = true}), (Ids{bos, 256, bos}));
  EXPECT_EQ(encode(vocab, "ab", {.add_bos = true}), (Ids{bos, 256}));
}

TEST(Bpe, drops_bytes_that_have_no_token_or_writes_the_unknown_one) {
  TestVocab vocab = abc_vocab();
  vocab.byte_tokens[0xff] = -1;
  EXPECT_EQ(encode(vocab, "ab\xff"), (Ids{256}));
  EXPECT_EQ(encode(vocab, "\xff\xff"), (Ids{}));
  vocab.unknown = 7;
  EXPECT_EQ(encode(vocab, "ab\xff"), (Ids{256, 7}));
}

TEST(Bpe, agrees_with_its_definition_on_random_vocabularies) {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 60; ++round) {
    TestVocab vocab;
    vocab.add_byte_pieces();
    for (int i = 0; i < 60; ++i) {
      const auto pick = [&]() -> uint32_t {
        const bool made = vocab.pieces.size() > 256 && random() % 2 == 0;
        return made ? static_cast<uint32_t>(256 + random() % (vocab.pieces.size() - 256))
                    : static_cast<uint32_t>('a' + random() % 3);
      };
      vocab.merge(pick(), pick());
    }
    vocab.finish();
    for (int i = 0; i < 40; ++i) {
      std::string word;
      const size_t length = random() % 60;
      for (size_t k = 0; k < length; ++k)
        word += static_cast<char>('a' + random() % 3);
      ASSERT_EQ(encode(vocab, word), merge_naively(vocab, word)) << word;
    }
  }
}

TEST(Bpe, gives_back_the_bytes_it_was_given) {
  std::mt19937_64 random(test::seed());
  const TestVocab vocab = abc_vocab();
  for (int round = 0; round < 300; ++round) {
    std::string text;
    const size_t length = random() % 50;
    for (size_t i = 0; i < length; ++i)
      text += round % 2 == 0 ? static_cast<char>(random()) : "abc \xe2\x96\x81"[random() % 7];
    Decoder decoder{};
    std::string back;
    char piece[64];
    size_t written = 0;
    for (const uint32_t id : encode(vocab, text)) {
      ASSERT_TRUE(detokenize(vocab.tables(), &decoder, id, piece, &written, nullptr).ok());
      back.append(piece, written);
    }
    ASSERT_TRUE(detokenize_flush(&decoder, piece, &written, nullptr).ok());
    EXPECT_EQ(back + std::string(piece, written), text);
  }
}

TEST(Bpe, says_what_is_too_small_and_leaves_the_output_alone) {
  const TestVocab vocab = abc_vocab();
  std::vector<std::byte> scratch(bpe_scratch_bytes(3));
  Ids out{1, 2};
  size_t count = 99;
  Error error;
  EXPECT_EQ(bpe_encode(vocab.tables(), "xyz", {}, scratch, out, &count, &error).code(),
            Code::output_too_small);
  EXPECT_EQ(error.value, 3u);
  EXPECT_EQ(error.limit, 2u);
  EXPECT_EQ(bpe_encode(vocab.tables(), "xyza", {}, scratch, out, &count, &error).code(),
            Code::output_too_small);
  EXPECT_EQ(error.value, bpe_scratch_bytes(4));
  EXPECT_EQ(bpe_encode(vocab.tables(), "x", {}, std::span(scratch).subspan(1), out, &count, &error)
                .code(),
            Code::bad_argument);
  EXPECT_EQ(out, (Ids{1, 2}));
  EXPECT_EQ(count, 99u);
  EXPECT_EQ(bpe_scratch_bytes(kMaxTextBytes + 1), SIZE_MAX);
}

}  // namespace
}  // namespace nbl
