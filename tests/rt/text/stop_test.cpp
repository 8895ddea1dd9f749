// Could break: which bytes are shown, when, and what is to be kept, however the text is cut into
// tokens. Compared with a search in the whole text.
#include "rt/text/stop.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/random.h"

namespace nbl::test {
namespace {

struct Shown {
  std::string text;
  std::vector<std::string> pieces;  // what each token, then the end, showed
  uint32_t found = 0;
  uint32_t keep_tokens = 0;
  uint32_t shown_bytes = 0;
  uint32_t spare_bytes = 0;
};

Shown run(const std::vector<const char*>& stops, const std::vector<std::string>& tokens) {
  StopState state{};
  Error error;
  EXPECT_TRUE(begin_stops(stops, &state, &error).ok());
  Shown shown;
  for (const std::string& token : tokens) {
    std::vector<char> out(token.size() + kMaxStopBytes);
    size_t length = 99;
    EXPECT_TRUE(put_text(&state, token, 0, out, &length, &error).ok());
    shown.pieces.emplace_back(out.data(), length);
    if (state.found != 0) break;
  }
  std::vector<char> out(kMaxStopBytes);
  size_t length = 99;
  EXPECT_TRUE(flush_text(&state, out, &length, &error).ok());
  shown.pieces.emplace_back(out.data(), length);
  for (const std::string& piece : shown.pieces)
    shown.text += piece;
  shown.found = state.found;
  shown.keep_tokens = state.keep_tokens;
  shown.shown_bytes = state.shown_bytes;
  shown.spare_bytes = state.spare_bytes;
  return shown;
}

// The same from the whole text at once.
Shown expected(const std::vector<const char*>& stops, const std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& token : tokens)
    all += token;
  Shown shown;
  size_t best_end = std::string::npos;
  size_t best_begin = all.size();
  for (uint32_t i = 0; i < stops.size(); ++i) {
    const size_t at = all.find(stops[i]);
    if (at == std::string::npos) continue;
    const size_t end = at + std::string(stops[i]).size();
    if (end > best_end && best_end != std::string::npos) continue;
    if (end == best_end && at >= best_begin) continue;
    best_end = end;
    best_begin = at;
    shown.found = i + 1;
  }
  shown.text = all.substr(0, best_begin);
  shown.shown_bytes = static_cast<uint32_t>(best_begin);
  size_t end = 0;
  size_t kept_end = 0;
  for (const std::string& token : tokens) {
    end += token.size();
    if (end > best_begin || (shown.found != 0 && end >= best_end)) break;
    ++shown.keep_tokens;
    kept_end = end;
  }
  shown.spare_bytes = static_cast<uint32_t>(best_begin - kept_end);
  return shown;
}

void expect_same(const std::vector<const char*>& stops, const std::vector<std::string>& tokens) {
  const Shown got = run(stops, tokens);
  const Shown want = expected(stops, tokens);
  std::string trace;
  for (const char* stop : stops)
    trace += std::string("stop '") + stop + "' ";
  for (const std::string& token : tokens)
    trace += "|" + token;
  EXPECT_EQ(got.text, want.text) << trace;
  EXPECT_EQ(got.found, want.found) << trace;
  EXPECT_EQ(got.keep_tokens, want.keep_tokens) << trace;
  EXPECT_EQ(got.shown_bytes, want.shown_bytes) << trace;
  EXPECT_EQ(got.spare_bytes, want.spare_bytes) << trace;
}

TEST(Stop, ends_the_text_in_front_of_the_stop_text) {
  EXPECT_EQ(run({"aab"}, {"aaab"}).text, "a");
  EXPECT_EQ(run({"User:"}, {"Hi.\nUs", "er", ": what"}).text, "Hi.\n");
  EXPECT_EQ(run({"abab"}, {"ab", "a", "abab", "x"}).text, "aba");
  EXPECT_EQ(run({"abcabd"}, {"abcabcabd"}).text, "abc");
  EXPECT_EQ(run({"x"}, {"x"}).text, "");
  EXPECT_EQ(run({"xy"}, {"xx", "x"}).text, "xxx") << "what was held comes at the end";
  EXPECT_EQ(run({}, {"all", "", "of it"}).text, "allof it");
}

TEST(Stop, shows_text_as_soon_as_it_can_be_none) {
  const Shown shown = run({"<end>", "<en!"}, {"a<", "en", "x<e", "n", "d", "?", "<en", "d>z"});
  EXPECT_EQ(shown.pieces, (std::vector<std::string>{"a", "", "<enx", "", "", "<end?", "", "", ""}));
  EXPECT_EQ(shown.found, 1u);
}

TEST(Stop, takes_the_one_that_is_complete_first) {
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}).text, "xa");
  EXPECT_EQ(run({"bc", "abc"}, {"xabc"}).text, "x") << "the longest of those that end together";
  EXPECT_EQ(run({"bc", "abc"}, {"xabc"}).found, 2u);
  EXPECT_EQ(run({"c", "ab"}, {"xabc"}).found, 2u);
  EXPECT_EQ(run({"same", "same"}, {"same"}).found, 1u);
}

TEST(Stop, tells_what_to_keep) {
  const Shown within = run({"stop"}, {"one ", "two s", "", "to", "p it"});
  EXPECT_EQ(within.keep_tokens, 1u);
  EXPECT_EQ(within.shown_bytes, 8u);
  EXPECT_EQ(within.spare_bytes, 4u) << "'two '";
  const Shown between = run({"stop"}, {"one ", "", "sto", "", "p"});
  EXPECT_EQ(between.keep_tokens, 2u) << "a token without text in front of it stays";
  EXPECT_EQ(between.spare_bytes, 0u);
  EXPECT_EQ(run({"stop"}, {"one ", "sto"}).keep_tokens, 2u) << "nothing came";
  // A long token in front, of which more than a stop text's length is shown.
  const Shown large = run({"stop"}, {std::string(1000, '-') + "st", "op"});
  EXPECT_EQ(large.keep_tokens, 0u);
  EXPECT_EQ(large.spare_bytes, 1000u);
}

// A token whose bytes wait in the decoder for the rest of their character ends behind them.
TEST(Stop, counts_bytes_that_a_decoder_holds) {
  StopState state{};
  Error error;
  const char* const stop = "\xc3\xa9!";
  ASSERT_TRUE(begin_stops({&stop, 1}, &state, &error).ok());
  char out[200];
  size_t length = 0;
  const auto put = [&](std::string_view text, uint32_t pending) {
    ASSERT_TRUE(put_text(&state, text, pending, out, &length, &error).ok());
  };
  put("caf", 0);
  put("", 1);  // c3
  put("\xc3\xa9", 0);
  EXPECT_EQ(length, 0u);
  put("!", 0);
  EXPECT_EQ(state.found, 1u);
  EXPECT_EQ(state.keep_tokens, 1u) << "the half character goes too";
  EXPECT_EQ(state.shown_bytes, 3u);
  EXPECT_EQ(state.spare_bytes, 0u);
}

TEST(Stop, does_not_cut_characters) {
  for (const char* stop : {"\xe2\x82\xac", "\xc3\xa9t\xc3\xa9"}) {
    const Shown shown = run(
        {stop}, {"\xe2\x82\xad", "\xc3\xa9", "t", "\xc3\xa8", "\xe2\x82\xac", "\xc3\xa9t\xc3\xa9"});
    for (const std::string& piece : shown.pieces) {
      EXPECT_NE((piece + "|")[0] & 0xc0, 0x80) << stop;
    }
  }
}

TEST(Stop, finds_what_a_search_finds) {
  Random random(51);
  const auto text = [&](uint32_t most, uint32_t letters) {
    std::string made(random.below(most + 1), 'a');
    for (char& c : made)
      c = static_cast<char>('a' + random.below(letters));
    return made;
  };
  uint32_t found = 0;
  for (int round = 0; round < 20000; ++round) {
    const uint32_t letters = 1 + random.below(3);
    std::vector<std::string> stops;
    std::vector<const char*> pointers;
    for (uint32_t i = random.below(5); i > 0; --i)
      stops.push_back("a" + text(round % 50 == 0 ? 127 : 7, letters));
    for (const std::string& stop : stops)
      pointers.push_back(stop.c_str());
    std::vector<std::string> tokens;
    for (uint32_t i = random.below(40); i > 0; --i)
      tokens.push_back(text(round % 20 == 0 ? 300 : 6, letters));
    expect_same(pointers, tokens);
    found += expected(pointers, tokens).found != 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(found, 5000u);
  EXPECT_LT(found, 19000u);
}

TEST(Stop, takes_as_many_and_as_long_texts_as_promised) {
  std::vector<std::string> stops;
  for (uint32_t i = 0; i < kMaxStopTexts; ++i)
    stops.push_back(std::string(kMaxStopBytes - 1, 'a') + static_cast<char>('b' + i));
  std::vector<const char*> pointers;
  for (const std::string& stop : stops)
    pointers.push_back(stop.c_str());
  expect_same(pointers, {std::string(500, 'a'), "q"});
  expect_same(pointers, {std::string(500, 'a'), "z", "more"});
}

TEST(Stop, refuses_what_it_cannot_watch_for) {
  StopState state{};
  Error error;
  const char* texts[kMaxStopTexts + 1];
  for (const char*& text : texts)
    text = "x";
  const auto expect = [&](size_t count, Code code, const std::string& sentence) {
    state.found = 77;
    EXPECT_EQ(begin_stops({texts, count}, &state, &error).code(), code);
    EXPECT_EQ(state.found, 77u) << "nothing changes";
    char text[256];
    describe(error, text, sizeof text);
    EXPECT_EQ(text, sentence);
  };
  expect(17, Code::bad_argument, "argument count (of stop texts) is 17; it must be at most 16");
  texts[2] = nullptr;
  expect(3, Code::missing_argument, "argument a stop text is missing");
  texts[2] = "";
  expect(3, Code::bad_stop_text, "a stop text has 0 bytes; it must have 1 to 128");
  const std::string wide(129, 'x');
  texts[2] = wide.c_str();
  expect(3, Code::bad_stop_text, "a stop text has 129 bytes; it must have 1 to 128");
}

TEST(Stop, leaves_everything_as_it_was_where_the_output_is_too_small) {
  StopState state{};
  Error error;
  const char* const stop = "abc";
  ASSERT_TRUE(begin_stops({&stop, 1}, &state, &error).ok());
  char out[8];
  size_t length = 0;
  ASSERT_TRUE(put_text(&state, std::string_view("xab"), 0, out, &length, &error).ok());
  const StopState before = state;
  EXPECT_EQ(put_text(&state, std::string_view("xyz"), 0, {out, 4}, &length, &error).code(),
            Code::output_too_small);
  EXPECT_EQ(error.value, 5u);
  EXPECT_EQ(flush_text(&state, {out, 1}, &length, &error).code(), Code::output_too_small);
  EXPECT_EQ(std::memcmp(&before, &state, sizeof state), 0);
  ASSERT_TRUE(put_text(&state, std::string_view("xyz"), 0, {out, 5}, &length, &error).ok());
  EXPECT_EQ(std::string(out, length), "abxyz");
}

}  // namespace
}  // namespace nbl::test
