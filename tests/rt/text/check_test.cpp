// What could break: a hostile table that the checks let through and the encoder then trips over.
#include "rt/text/check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "rt/text/bpe.h"
#include "rt/text/detokenize.h"
#include "rt/text/spm.h"
#include "tests/support/vocab.h"

namespace nbl {
namespace {

TestVocab good_vocab() {
  TestVocab vocab;
  vocab.unknown = static_cast<int32_t>(vocab.add("<unk>", 0, kPieceUnknown));
  vocab.add_bytes();
  for (const char* piece : {"a", "b", "ab", "aab", "\xff\xfe", "ab", ""})
    vocab.add(piece, -1);
  vocab.finish();
  return vocab;
}

Code check(const TestVocab& vocab) {
  Error error;
  const Status status = check_tokenizer(vocab.tables(), vocab.sizes(), &error);
  EXPECT_EQ(status.bits(), error.status.bits());
  return status.code();
}

TEST(CheckTokenizer, accepts_a_good_vocabulary_with_double_and_empty_pieces) {
  EXPECT_EQ(check(good_vocab()), Code::ok);
}

TEST(CheckTokenizer, refuses_every_wrong_table_by_name) {
  const std::pair<const char*, std::function<void(TestVocab*)>> cases[] = {
      {"offset count", [](TestVocab* v) { v->offsets.pop_back(); }},
      {"score count", [](TestVocab* v) { v->scores.push_back(0); }},
      {"type count", [](TestVocab* v) { v->types.pop_back(); }},
      {"sorted count", [](TestVocab* v) { v->sorted.pop_back(); }},
      {"byte token count", [](TestVocab* v) { v->byte_tokens.pop_back(); }},
      {"piece offset", [](TestVocab* v) { v->offsets[3] = v->offsets[4] + 1; }},
      {"piece offset", [](TestVocab* v) { v->offsets.back() += 1; }},
      {"piece offset", [](TestVocab* v) { v->offsets.front() = 0xffffffffu; }},
      {"NaN score of piece", [](TestVocab* v) { v->scores[5] = std::nanf(""); }},
      {"piece type", [](TestVocab* v) { v->types[5] = 6; }},
      {"sorted id", [](TestVocab* v) { v->sorted[9] = static_cast<uint32_t>(v->pieces.size()); }},
      {"unsorted index", [](TestVocab* v) { v->sorted[9] = v->sorted[8]; }},
      {"unsorted index", [](TestVocab* v) { std::swap(v->sorted[20], v->sorted[21]); }},
      {"bos", [](TestVocab* v) { v->bos = static_cast<int32_t>(v->pieces.size()); }},
      {"bos", [](TestVocab* v) { v->bos = -2; }},
      {"eos", [](TestVocab* v) { v->eos = 1 << 30; }},
      {"unknown", [](TestVocab* v) { v->unknown = -7; }},
      {"byte token", [](TestVocab* v) { v->byte_tokens[255] = 1 << 20; }},
      {"byte token", [](TestVocab* v) { v->byte_tokens[0] = -2; }},
      {"byte without a token, nor an unknown token,",
       [](TestVocab* v) {
         v->unknown = -1;
         v->byte_tokens[7] = -1;
       }},
  };
  for (const auto& [name, spoil] : cases) {
    TestVocab vocab = good_vocab();
    spoil(&vocab);
    Error error;
    EXPECT_EQ(check_tokenizer(vocab.tables(), vocab.sizes(), &error).code(), Code::bad_tokenizer)
        << name;
    EXPECT_STREQ(error.name, name);
  }
  TestVocab empty;
  empty.finish();
  EXPECT_EQ(check(empty), Code::bad_tokenizer);
}

TEST(CheckTokenizer, refuses_equal_pieces_whose_ids_do_not_ascend) {
  TestVocab vocab = good_vocab();
  for (size_t i = 1; i < vocab.sorted.size(); ++i) {
    if (vocab.pieces[vocab.sorted[i]] == "ab" && vocab.pieces[vocab.sorted[i - 1]] == "ab") {
      std::swap(vocab.sorted[i], vocab.sorted[i - 1]);
      EXPECT_EQ(check(vocab), Code::bad_tokenizer);
      return;
    }
  }
  FAIL() << "the vocabulary has no double piece";
}

// Whatever passes the checks must be safe to use; the sanitizers and the guard bytes say so.
TEST(CheckTokenizer, lets_through_only_tables_that_encode_and_decode_safely) {
  const uint32_t seed = 20240606;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    TestVocab vocab = good_vocab();
    const size_t spot = random() % vocab.pieces.size();
    const uint32_t value = random() % 3 == 0 ? random() : random() % 300;
    switch (random() % 6) {
      case 0:
        vocab.offsets[spot] = value;
        break;
      case 1:
        vocab.types[spot] = static_cast<uint8_t>(value % 8);
        break;
      case 2:
        vocab.sorted[spot] = value;
        break;
      case 3:
        vocab.byte_tokens[spot % 256] = static_cast<int32_t>(value) - 2;
        break;
      case 4:
        memcpy(&vocab.scores[spot], &value, 4);
        break;
      default:
        vocab.bytes[spot] = static_cast<uint8_t>(value);
        break;
    }
    if (check(vocab) != Code::ok) continue;
    ++accepted;
    const std::string text = "aab ab\xff\xfe\x80 ba";
    std::vector<std::byte> scratch(spm_scratch_bytes(text.size()));
    std::vector<uint32_t> ids(text.size() + 20);
    size_t count = 0;
    ASSERT_TRUE(
        spm_encode(vocab.tables(), text, {.add_bos = true}, scratch, ids, &count, nullptr).ok());
    Decoder decoder{};
    std::vector<char> out(max_piece_bytes(vocab.tables()) + 3);
    for (size_t i = 0; i < count; ++i) {
      size_t length = 0;
      ASSERT_LT(ids[i], vocab.pieces.size());
      ASSERT_TRUE(detokenize(vocab.tables(), &decoder, ids[i], out, &length, nullptr).ok());
    }
  }
  EXPECT_GT(accepted, 100);
}

TestVocab good_bpe_vocab() {
  TestVocab vocab;
  vocab.add_byte_pieces();
  const uint32_t ab = vocab.merge('a', 'b');
  vocab.merge('a', 'a');
  vocab.merge(ab, 'a');
  vocab.merge(ab, ab);
  vocab.add("<tool>", 0, kPieceUser);
  vocab.finish();
  return vocab;
}

TEST(CheckTokenizer, refuses_every_wrong_table_of_merges_by_name) {
  EXPECT_EQ(check(good_bpe_vocab()), Code::ok);
  const std::pair<const char*, std::function<void(TestVocab*)>> cases[] = {
      {"merge_first", [](TestVocab* v) { v->merge_first.pop_back(); }},
      {"merge_result", [](TestVocab* v) { v->merge_result.pop_back(); }},
      {"merge_rank", [](TestVocab* v) { v->merge_rank.push_back(0); }},
      {"merge_first's ends", [](TestVocab* v) { v->merge_first.front() = 1; }},
      {"merge_first's ends", [](TestVocab* v) { v->merge_first.back() += 1; }},
      {"merge_first", [](TestVocab* v) { v->merge_first['a'] = 0xffffffffu; }},
      {"merge_first", [](TestVocab* v) { v->merge_first['c'] = 0; }},
      {"merge's right token", [](TestVocab* v) { v->merge_right[1] = 1u << 30; }},
      {"merge's result", [](TestVocab* v) { v->merge_result[0] = 1u << 30; }},
      {"unsorted merge", [](TestVocab* v) { v->merge_right[1] = v->merge_right[0]; }},
      {"length of a merge's result", [](TestVocab* v) { v->merge_result[0] = 'z'; }},
  };
  for (const auto& [name, spoil] : cases) {
    TestVocab vocab = good_bpe_vocab();
    spoil(&vocab);
    Error error;
    EXPECT_EQ(check_tokenizer(vocab.tables(), vocab.sizes(), &error).code(), Code::bad_tokenizer)
        << name;
    EXPECT_STREQ(error.name, name);
  }
}

TEST(CheckTokenizer, lets_through_only_merges_that_encode_safely) {
  const uint32_t seed = 20240607;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    TestVocab vocab = good_bpe_vocab();
    std::vector<uint32_t>* const tables[] = {&vocab.merge_first, &vocab.merge_right,
                                             &vocab.merge_result, &vocab.merge_rank};
    std::vector<uint32_t>& table = *tables[random() % 4];
    table[random() % table.size()] = random() % 3 == 0 ? random() : random() % 262;
    if (random() % 2 == 0) vocab.byte_tokens['a'] = static_cast<int32_t>(random() % 261) - 1;
    if (check(vocab) != Code::ok) continue;
    ++accepted;
    const std::string text = "aab ab\xff\xfe\x80 baba <tool>abab";
    std::vector<std::byte> scratch(bpe_scratch_bytes(text.size()));
    std::vector<uint32_t> ids(text.size());
    size_t count = 0;
    ASSERT_TRUE(bpe_encode(vocab.tables(), text, {}, scratch, ids, &count, nullptr).ok());
    for (size_t i = 0; i < count; ++i)
      ASSERT_LT(ids[i], vocab.pieces.size());
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace nbl
