// Could break: stop texts in what a model really generates, and the way back to what was shown.
#include <gtest/gtest.h>

#include "rt/nibble.hpp"
#include "tests/support/engine.h"
#include "tests/support/stories.h"

namespace nbl::test {
namespace {

constexpr uint32_t kTokens = 80;

class StopText : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    NBL_REQUIRE_STORIES();
  }
};

struct Story {
  std::string text;
  std::vector<uint32_t> tokens;  // that were put
  nbl_stop stop = {};
};

// Generates in calls of `burst` until a stop text comes, and goes back to what was shown.
Story tell(TestEngine* engine, const std::vector<const char*>& texts, uint32_t burst) {
  engine->rewind(0);
  engine->evaluate(engine->tokenize("Once upon a time", true));
  const uint32_t start = engine->position();
  Story story;
  nbl_decoder decoder = {};
  decoder.begun = 1;
  nbl_error error = {};
  nibble::StopTexts stops;
  EXPECT_EQ(stops.begin(texts, &error), 0u) << sentence(error);
  std::vector<char> piece(nbl_max_piece_bytes(engine->get()) + 4);
  std::vector<char> shown(piece.size() + NBL_MAX_STOP_BYTES);
  size_t length = 0;
  while (!stops.found() && story.tokens.size() < kTokens) {
    for (const uint32_t token : engine->generate(burst)) {
      EXPECT_EQ(nbl_detokenize(engine->get(), &decoder, token, piece.data(), piece.size(), &length,
                               &error),
                0u);
      EXPECT_EQ(stops.put(&decoder, {piece.data(), length}, shown, &length, &error), 0u);
      story.text.append(shown.data(), length);
      story.tokens.push_back(token);
      if (stops.found()) break;
    }
  }
  EXPECT_EQ(stops.flush(shown, &length, &error), 0u);
  story.text.append(shown.data(), length);
  story.stop = stops.state();
  engine->rewind(start + story.stop.keep_tokens);
  return story;
}

TEST_F(StopText, ends_a_story_and_goes_back_to_what_was_shown) {
  TestEngine engine(stories_file().span(), {.logits = NBL_LOGITS_LAST});
  const Story whole = tell(&engine, {}, 8);
  ASSERT_EQ(whole.tokens.size(), kTokens);
  const size_t sentence_end = whole.text.find(". ");
  ASSERT_NE(sentence_end, std::string::npos) << whole.text;
  for (const uint32_t burst : {1u, 8u, 20u}) {
    // Two characters that several tokens may share, and ones within a word.
    for (const size_t at : {sentence_end, size_t{11}, size_t{23}, size_t{40}}) {
      for (const size_t size : {2u, 9u}) {
        const std::string stop = whole.text.substr(at, size);
        const size_t first = whole.text.find(stop);
        const Story story = tell(&engine, {"never in it", stop.c_str()}, burst);
        ASSERT_EQ(story.text, whole.text.substr(0, first)) << "'" << stop << "'";
        ASSERT_EQ(story.stop.found, 2u);
        ASSERT_EQ(story.stop.shown_bytes, first);
        const std::span<const uint32_t> kept(story.tokens.data(), story.stop.keep_tokens);
        // " Once": the first token's space is shown, as the story goes on from a prompt.
        ASSERT_EQ(engine.detokenize(kept).size() + story.stop.spare_bytes, first);

        // The context is that of the tokens kept: what comes next says so.
        const uint32_t next = story.tokens[story.stop.keep_tokens];
        engine.evaluate({&next, 1});
        const auto row = engine.logits();
        engine.rewind(0);
        std::vector<uint32_t> tokens = engine.tokenize("Once upon a time", true);
        tokens.insert(tokens.end(), kept.begin(), kept.end());
        engine.evaluate(tokens);
        engine.evaluate({&next, 1});
        ASSERT_EQ(engine.next_token(), whole.tokens[story.stop.keep_tokens + 1]);
        const auto again = engine.logits();
        const std::vector<double> expected(again[0].begin(), again[0].end());
        ASSERT_LT(relative_error(row[0], expected), 1e-3);
      }
    }
  }
}

TEST_F(StopText, says_what_is_missing) {
  nbl_error error = {};
  nbl_stop stop = {};
  char out[NBL_MAX_STOP_BYTES];
  size_t length = 7;
  const char* const text = "x";
  const auto expect = [&](nbl_status status, const std::string& what) {
    EXPECT_STREQ(nbl_status_name(status), "missing_argument");
    EXPECT_EQ(sentence(error), "argument " + what + " is missing");
  };
  expect(nbl_stop_begin(nullptr, &text, 1, &error), "stop");
  expect(nbl_stop_begin(&stop, nullptr, 1, &error), "texts");
  expect(nbl_stop_put(nullptr, nullptr, "a", 1, out, sizeof out, &length, &error), "stop");
  expect(nbl_stop_put(&stop, nullptr, nullptr, 1, out, sizeof out, &length, &error), "text");
  expect(nbl_stop_put(&stop, nullptr, "a", 1, nullptr, sizeof out, &length, &error), "out");
  expect(nbl_stop_put(&stop, nullptr, "a", 1, out, sizeof out, nullptr, &error), "length");
  expect(nbl_stop_flush(nullptr, out, sizeof out, &length, &error), "stop");
  expect(nbl_stop_flush(&stop, nullptr, sizeof out, &length, &error), "out");
  expect(nbl_stop_flush(&stop, out, sizeof out, nullptr, &error), "length");
  EXPECT_EQ(length, 7u);
}

}  // namespace
}  // namespace nbl::test
