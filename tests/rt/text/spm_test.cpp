// What could break: the order of merges, what counts as a character, the byte fallback, scratch
// that is too small for its formula, and agreement with llama.cpp and llama2.c on real
// vocabularies.
#include "rt/text/spm.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>

#include "rt/text/utf8.h"
#include "tests/support/gguf_vocab.h"
#include "tests/support/vocab.h"

namespace nbl {
namespace {

using Ids = std::vector<uint32_t>;
const std::string kMark = "\xe2\x96\x81";

// Encodes with exactly the scratch that the formula says, guarded behind.
Ids encode(const TestVocab& vocab, const std::string& text, bool add_bos = false) {
  const size_t scratch_bytes = spm_scratch_bytes(text.size());
  std::vector<std::byte> scratch(scratch_bytes + 64, std::byte{0xa5});
  Ids out(text.size() + 4);
  size_t count = 12345;
  Error error;
  const Status status = spm_encode(vocab.tables(), text, {.add_bos = add_bos},
                                   std::span(scratch).first(scratch_bytes), out, &count, &error);
  EXPECT_TRUE(status.ok()) << code_name(status.code());
  for (size_t i = scratch_bytes; i < scratch.size(); ++i) {
    EXPECT_EQ(scratch[i], std::byte{0xa5}) << "wrote past the scratch";
  }
  out.resize(count);
  return out;
}

TestVocab small_vocab() {
  TestVocab vocab;
  vocab.unknown = static_cast<int32_t>(vocab.add("<unk>", 0, kPieceUnknown));
  vocab.bos = static_cast<int32_t>(vocab.add("<s>", 0, kPieceControl));
  vocab.eos = static_cast<int32_t>(vocab.add("</s>", 0, kPieceControl));
  vocab.add_bytes();
  for (const char* piece : {"a", "b", "c", "s", "<", ">", "/"})
    vocab.add(piece, -100);
  vocab.add(kMark, -90);
  vocab.add("ab", -3);
  vocab.add("bc", -2);
  vocab.add("abc", -4);
  vocab.add("aa", -5);
  vocab.add(kMark + "a", -6);
  vocab.add(kMark + "ab", -1);
  vocab.add("<s", -7);
  vocab.add("\xc3\xa4", -8);
  vocab.finish();
  return vocab;
}

uint32_t id_of(const TestVocab& vocab, const std::string& piece) {
  for (uint32_t id = 0; id < vocab.pieces.size(); ++id) {
    if (vocab.pieces[id] == piece) return id;
  }
  ADD_FAILURE() << "no piece " << piece;
  return 0;
}

Ids ids_of(const TestVocab& vocab, const std::vector<std::string>& pieces) {
  Ids ids;
  for (const std::string& piece : pieces)
    ids.push_back(id_of(vocab, piece));
  return ids;
}

TEST(SpmEncode, merges_the_best_score_first_and_the_leftmost_of_equals) {
  TestVocab vocab = small_vocab();
  vocab.add_space_prefix = false;
  EXPECT_EQ(encode(vocab, "abc"), ids_of(vocab, {"abc"}));
  EXPECT_EQ(encode(vocab, "abcb"), ids_of(vocab, {"abc", "b"}));
  EXPECT_EQ(encode(vocab, "aaa"), ids_of(vocab, {"aa", "a"}));
  EXPECT_EQ(encode(vocab, "aaaaa"), ids_of(vocab, {"aa", "aa", "a"}));
  EXPECT_EQ(encode(vocab, "cab"), ids_of(vocab, {"c", "ab"}));
}

TEST(SpmEncode, puts_one_space_in_front_of_a_text_that_is_not_empty) {
  const TestVocab vocab = small_vocab();
  EXPECT_EQ(encode(vocab, ""), Ids{});
  EXPECT_EQ(encode(vocab, "ab"), ids_of(vocab, {kMark + "ab"}));
  EXPECT_EQ(encode(vocab, " ab"), ids_of(vocab, {kMark, kMark + "ab"}));
  EXPECT_EQ(encode(vocab, "b a"), ids_of(vocab, {kMark, "b", kMark + "a"}));
}

TEST(SpmEncode, puts_bos_in_front_only_where_caller_and_model_want_it) {
  TestVocab vocab = small_vocab();
  EXPECT_EQ(encode(vocab, "", true), ids_of(vocab, {"<s>"}));
  EXPECT_EQ(encode(vocab, "ab", true), ids_of(vocab, {"<s>", kMark + "ab"}));
  vocab.add_bos = false;
  EXPECT_EQ(encode(vocab, "ab", true), ids_of(vocab, {kMark + "ab"}));
  vocab.add_bos = true;
  vocab.bos = -1;
  EXPECT_EQ(encode(vocab, "ab", true), ids_of(vocab, {kMark + "ab"}));
}

TEST(SpmEncode, never_finds_control_or_byte_pieces_in_a_text) {
  TestVocab vocab = small_vocab();
  vocab.add_space_prefix = false;
  EXPECT_EQ(encode(vocab, "<s>"), ids_of(vocab, {"<s", ">"}));
  vocab.types[id_of(vocab, "ab")] = kPieceControl;
  EXPECT_EQ(encode(vocab, "ab"), ids_of(vocab, {"a", "b"}));
}

TEST(SpmEncode, falls_back_to_bytes_or_to_one_unknown) {
  TestVocab vocab = small_vocab();
  vocab.add_space_prefix = false;
  EXPECT_EQ(encode(vocab, "a\xe2\x82\xac"), ids_of(vocab, {"a", "<0xE2>", "<0x82>", "<0xAC>"}));
  EXPECT_EQ(encode(vocab, "\xc3\xa4\xc3"), ids_of(vocab, {"\xc3\xa4", "<0xC3>"}));
  EXPECT_EQ(encode(vocab, std::string("\0", 1)), ids_of(vocab, {"<0x00>"}));
  vocab.byte_tokens[0x82] = -1;
  EXPECT_EQ(encode(vocab, "a\xe2\x82\xac"), ids_of(vocab, {"a", "<unk>"}));
}

TEST(SpmEncode, keeps_the_longest_user_piece_whole) {
  TestVocab vocab = small_vocab();
  vocab.add_space_prefix = false;
  vocab.add("c<s>", -50, kPieceUser);
  vocab.add("c<", -50, kPieceUser);
  vocab.finish();
  EXPECT_EQ(encode(vocab, "abc<s>b"), ids_of(vocab, {"ab", "c<s>", "b"}));
  EXPECT_EQ(encode(vocab, "abc<sc"), ids_of(vocab, {"ab", "c<", "s", "c"}));
}

TEST(SpmEncode, takes_unused_pieces_apart_again) {
  TestVocab vocab = small_vocab();
  vocab.add_space_prefix = false;
  vocab.types[id_of(vocab, "abc")] = kPieceUnused;
  EXPECT_EQ(encode(vocab, "abc"), ids_of(vocab, {"a", "bc"}));
  vocab.types[id_of(vocab, "bc")] = kPieceUnused;
  // bc comes first, then abc, which beats aa; both are undone.
  EXPECT_EQ(encode(vocab, "aabc"), ids_of(vocab, {"a", "a", "b", "c"}));
}

TEST(SpmEncode, leaves_its_outputs_untouched_on_every_error) {
  const TestVocab vocab = small_vocab();
  const std::string text = "abcabc bcbc";
  const Ids all = encode(vocab, text, true);
  std::vector<std::byte> scratch(spm_scratch_bytes(text.size()) + 4);
  Error error;
  for (size_t capacity = 0; capacity <= all.size(); ++capacity) {
    Ids out(all.size() + 1, 777);
    size_t count = 555;
    const Status status = spm_encode(vocab.tables(), text, {.add_bos = true}, scratch,
                                     std::span(out).first(capacity), &count, &error);
    if (capacity == all.size()) {
      EXPECT_TRUE(status.ok());
      EXPECT_EQ(count, all.size());
      EXPECT_EQ(out.back(), 777u);
      continue;
    }
    EXPECT_EQ(status.code(), Code::output_too_small);
    EXPECT_EQ(error.value, all.size());
    EXPECT_EQ(error.limit, capacity);
    EXPECT_EQ(count, 555u);
    EXPECT_EQ(out, Ids(all.size() + 1, 777));
  }
  Ids out(100, 777);
  size_t count = 555;
  const size_t needed = spm_scratch_bytes(text.size());
  EXPECT_EQ(spm_encode(vocab.tables(), text, {.add_bos = true},
                       std::span(scratch).first(needed - 1), out, &count, &error)
                .code(),
            Code::output_too_small);
  EXPECT_EQ(error.value, needed);
  EXPECT_EQ(spm_encode(vocab.tables(), text, {.add_bos = true},
                       std::span(scratch).subspan(1, needed), out, &count, &error)
                .code(),
            Code::bad_argument);
  EXPECT_EQ(count, 555u);
  EXPECT_EQ(out, Ids(100, 777));
}

// The same rule by brute force: scan all neighbours for the best, merge, until none is left.
Ids slow_encode(const TestVocab& vocab, const std::string& text) {
  std::string marked;
  if (vocab.add_space_prefix && !text.empty()) marked += kMark;
  for (const char c : text)
    marked += c == ' ' ? kMark : std::string(1, c);
  const auto find = [&](const std::string& bytes) -> std::optional<uint32_t> {
    for (uint32_t id = 0; id < vocab.pieces.size(); ++id) {
      if (vocab.types[id] == kPieceNormal && vocab.pieces[id] == bytes) return id;
    }
    return std::nullopt;
  };
  std::vector<std::string> parts;
  for (size_t at = 0; at < marked.size();) {
    const uint32_t length = utf8_next(marked.data() + at, marked.size() - at);
    parts.push_back(marked.substr(at, length));
    at += length;
  }
  for (;;) {
    std::optional<size_t> best;
    float best_score = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto id = find(parts[i] + parts[i + 1]);
      if (!id || (best && vocab.scores[*id] <= best_score)) continue;
      best = i;
      best_score = vocab.scores[*id];
    }
    if (!best) break;
    parts[*best] += parts[*best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(*best) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) {
    if (const auto id = find(part)) {
      ids.push_back(*id);
      continue;
    }
    for (const char c : part) {
      ids.push_back(static_cast<uint32_t>(vocab.byte_tokens[static_cast<uint8_t>(c)]));
    }
  }
  return ids;
}

// A vocabulary of random strings over a few characters, with few different scores so that ties are
// common.
TestVocab random_vocab(std::mt19937* random, const std::vector<std::string>& alphabet) {
  TestVocab vocab;
  vocab.unknown = static_cast<int32_t>(vocab.add("<unk>", 0, kPieceUnknown));
  vocab.add_bytes();
  std::vector<std::string> pieces;
  for (size_t i = 0; i + 1 < alphabet.size(); ++i)
    pieces.push_back(alphabet[i]);
  for (int i = 0; i < 60; ++i) {
    pieces.push_back(pieces[(*random)() % pieces.size()] + pieces[(*random)() % pieces.size()]);
  }
  std::sort(pieces.begin(), pieces.end());
  pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
  std::shuffle(pieces.begin(), pieces.end(), *random);
  for (const std::string& piece : pieces) {
    vocab.add(piece, -static_cast<float>((*random)() % 8));
  }
  vocab.add_space_prefix = (*random)() % 2 == 0;
  vocab.finish();
  return vocab;
}

TEST(SpmEncode, agrees_with_brute_force_on_random_vocabularies_and_texts) {
  const uint32_t seed = 20240603;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  // The last one is in no vocabulary.
  const std::vector<std::string> alphabet = {"a", "b", kMark, "\xc3\xa4", "\xf0\x9f\x98\x80", "z"};
  for (int round = 0; round < 60; ++round) {
    const TestVocab vocab = random_vocab(&random, alphabet);
    Error error;
    ASSERT_TRUE(check_tokenizer(vocab.tables(), vocab.sizes(), &error).ok()) << error.name;
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (uint32_t length = random() % 30; length > 0; --length) {
        const uint32_t kind = random() % 20;
        if (kind == 0) {
          text += static_cast<char>(random() % 256);  // mostly invalid UTF-8
        } else if (kind < 4) {
          text += ' ';
        } else {
          text += alphabet[random() % alphabet.size()];
        }
      }
      ASSERT_EQ(encode(vocab, text), slow_encode(vocab, text)) << "round " << round << " " << text;
    }
  }
}

TEST(SpmEncode, takes_long_texts_in_n_log_n) {
  const TestVocab vocab = small_vocab();
  const auto seconds = [&](size_t size) {
    const std::string text(size, 'a');
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(encode(vocab, text).size(), size / 2 + 1);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const double small = seconds(20000);
  EXPECT_LT(seconds(400000), 20 * small * 8 + 1) << "quadratic would take 400 times as long";
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(SpmEncode, gives_llama_cpps_ids_with_the_llama_vocabulary) {
  const std::string name = "tokenizers/ggml-vocab-llama-spm.gguf";
  if (!std::filesystem::exists(shared_path(name))) {
    GTEST_SKIP() << "no " << shared_path(name) << ": set NIBBLE_SHARED to the test material";
  }
  const TestVocab vocab = GgufVocabReader(shared_path(name)).read();
  ASSERT_EQ(vocab.pieces.size(), 32000u);
  Error error;
  ASSERT_TRUE(check_tokenizer(vocab.tables(), vocab.sizes(), &error).ok()) << error.name;
  const std::string inputs = read_text(shared_path(name + ".inp"));
  std::istringstream outputs(read_text(shared_path(name + ".out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string line;
  size_t cases = 0;
  for (size_t at = 0; std::getline(outputs, line); ++cases) {
    size_t end = inputs.find(separator, at);
    if (end == std::string::npos) end = inputs.size();
    const std::string text = inputs.substr(at, end - at);
    at = end + separator.size();
    Ids expected;
    std::istringstream numbers(line);
    for (uint32_t id = 0; numbers >> id;)
      expected.push_back(id);
    EXPECT_EQ(encode(vocab, text), expected) << "text " << cases << ": " << text;
    if (at >= inputs.size()) at = inputs.size();
  }
  EXPECT_GT(cases, 30u);
}

TEST(SpmEncode, gives_llama2_cs_ids_with_the_tinystories_vocabulary) {
  const std::filesystem::path path = shared_path("models/stories260K/tok512.bin");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "no " << path << ": set NIBBLE_SHARED to the test material";
  }
  // u32 longest piece; per piece: f32 score, u32 length, bytes. Ids 0, 1, 2: unknown, BOS, EOS;
  // then 256 byte tokens. A space is a plain space.
  const std::string file = read_text(path);
  TestVocab vocab;
  for (size_t at = 4; at < file.size();) {
    float score = 0;
    uint32_t length = 0;
    std::memcpy(&score, file.data() + at, 4);
    std::memcpy(&length, file.data() + at + 4, 4);
    std::string piece;
    for (const char c : file.substr(at + 8, length))
      piece += c == ' ' ? kMark : std::string(1, c);
    const uint32_t id = static_cast<uint32_t>(vocab.pieces.size());
    const uint8_t type = id == 0    ? kPieceUnknown
                         : id < 3   ? kPieceControl
                         : id < 259 ? kPieceByte
                                    : kPieceNormal;
    vocab.add(piece, score, type);
    if (type == kPieceByte) vocab.byte_tokens[id - 3] = static_cast<int32_t>(id);
    at += 8 + length;
  }
  vocab.unknown = 0;
  vocab.bos = 1;
  vocab.eos = 2;
  vocab.finish();
  ASSERT_EQ(vocab.pieces.size(), 512u);
  // What llama2.c's run.c starts its prompt with: BOS, " Once", " upon", " a", " time".
  const Ids ids = encode(vocab, "Once upon a time", true);
  EXPECT_EQ(ids, (Ids{1, 403, 407, 261, 378}));
  std::string joined;
  for (const uint32_t id : ids)
    joined += id > 2 ? vocab.pieces[id] : "";
  EXPECT_EQ(joined, kMark + "Once" + kMark + "upon" + kMark + "a" + kMark + "time");
}

}  // namespace
}  // namespace nbl
