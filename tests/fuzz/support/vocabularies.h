// Vocabularies of every kind for fuzzing texts: those of the families, and arbitrary ones.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <string>
#include <vector>

#include "tests/fuzz/support/require.h"
#include "tests/support/vocab.h"

namespace nbl::fuzz {

inline constexpr uint32_t kFamilies = 4 + 2 * kSplitterCount;

// True where text that is encoded and decoded is the text again (spm: with spaces for U+2581).
struct Family {
  TestVocab vocab;
  bool exact = false;
};

inline void add_specials(TestVocab* v) {
  v->unknown = static_cast<int32_t>(v->add("<unk>", 0, kPieceUnknown));
  v->bos = static_cast<int32_t>(v->add("<s>", 0, kPieceControl));
  v->eos = static_cast<int32_t>(v->add("</s>", 0, kPieceControl));
  v->add("[INST]", 0, kPieceControl);
  v->add("<user>", 0, kPieceUser);
  v->add("<user><user>", 0, kPieceUser);
}

inline Family spm_family(bool bytes, bool prefix) {
  Family f{.vocab = {}, .exact = bytes};
  TestVocab& v = f.vocab;
  add_specials(&v);
  v.add_space_prefix = prefix;
  if (bytes) v.add_bytes();
  float score = -1;
  for (const char* piece : {"\xe2\x96\x81",
                            "a",
                            "b",
                            "c",
                            "e",
                            "h",
                            "l",
                            "o",
                            "t",
                            "\xc3\xa9",
                            "\xf0\x9f\x98\x80",
                            "ab",
                            "abc",
                            "th",
                            "he",
                            "the",
                            "\xe2\x96\x81th",
                            "\xe2\x96\x81the",
                            "ll",
                            "hello",
                            "hell",
                            "\xe2\x96\x81\xe2\x96\x81",
                            "\xe2\x96\x81\xe2\x96\x81\xe2\x96\x81\xe2\x96\x81",
                            "aa",
                            "aaaa",
                            "\xc3\xa9\xc3\xa9",
                            "oh"}) {
    v.add(piece, score);
    score -= 0.5f;
  }
  v.add("lo", 3, kPieceUnused);
  v.add("hel", 2, kPieceUnused);
  v.finish();
  return f;
}

inline Family bpe_family(Splitter splitter, bool whole_words) {
  Family f{.vocab = {}, .exact = true};
  TestVocab& v = f.vocab;
  v.add_byte_pieces();
  v.splitter = splitter;
  v.whole_words = whole_words;
  v.add_bos = whole_words;
  v.add_space_prefix = false;
  add_specials(&v);
  v.unknown = -1;
  const auto byte = [](char c) { return static_cast<uint32_t>(static_cast<uint8_t>(c)); };
  const uint32_t th = v.merge(byte('t'), byte('h'));
  const uint32_t the = v.merge(th, byte('e'));
  v.merge(byte(' '), the);
  v.merge(byte('h'), byte('e'));
  const uint32_t spaces = v.merge(byte(' '), byte(' '));
  v.merge(spaces, spaces);
  v.merge(byte('\xe4'), byte('\xb8'));
  const uint32_t aa = v.merge(byte('a'), byte('a'));
  v.merge(aa, aa);
  v.merge(byte('1'), byte('2'));
  v.merge(byte('\n'), byte('\n'));
  v.add("whole", 0);
  v.finish();
  return f;
}

inline const Family& family(uint32_t index) {
  static const std::vector<Family> families = [] {
    std::vector<Family> all;
    for (uint32_t i = 0; i < 4; ++i)
      all.push_back(spm_family((i & 1) == 0, (i & 2) == 0));
    for (uint32_t i = 0; i < 2 * kSplitterCount; ++i)
      all.push_back(bpe_family(static_cast<Splitter>(i / 2), i % 2 != 0));
    return all;
  }();
  return families[index];
}

// Pieces of any bytes and types with any scores and merges, which pass the checks of load().
inline Family arbitrary_family(FuzzedDataProvider* input) {
  Family f;
  TestVocab& v = f.vocab;
  const bool bpe = input->ConsumeBool();
  if (bpe) {
    v.add_byte_pieces();
    v.splitter =
        static_cast<Splitter>(input->ConsumeIntegralInRange<uint32_t>(0, kSplitterCount - 1));
    v.whole_words = input->ConsumeBool();
  } else {
    v.add_bytes();
  }
  v.add_bos = input->ConsumeBool();
  v.add_space_prefix = input->ConsumeBool();
  const uint32_t count = input->ConsumeIntegralInRange<uint32_t>(1, 40);
  for (uint32_t i = 0; i < count; ++i) {
    const auto type =
        static_cast<uint8_t>(input->ConsumeIntegralInRange<uint32_t>(0, kPieceTypeCount - 1));
    const float score = static_cast<float>(input->ConsumeIntegralInRange<int>(-4, 4));
    v.add(input->ConsumeRandomLengthString(8), score, type);
  }
  const auto any_id = [&] {
    return input->ConsumeIntegralInRange<uint32_t>(0, static_cast<uint32_t>(v.pieces.size()) - 1);
  };
  for (int byte = 0; byte < 4; ++byte)
    v.byte_tokens[input->ConsumeIntegralInRange<uint32_t>(0, 255)] = static_cast<int32_t>(any_id());
  if (bpe) {
    const uint32_t merges = input->ConsumeIntegralInRange<uint32_t>(0, 40);
    for (uint32_t i = 0; i < merges && v.pieces.size() < 400; ++i) {
      const uint32_t left = any_id();
      v.merge(left, any_id());
    }
  }
  v.bos = static_cast<int32_t>(any_id());
  v.unknown = static_cast<int32_t>(any_id());
  v.finish();
  Error error;
  require(check_tokenizer(v.tables(), v.sizes(), &error).ok(), "the vocabulary is a right one");
  return f;
}

}  // namespace nbl::fuzz
