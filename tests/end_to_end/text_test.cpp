// Could break: text on its way in or out of a compiled model, and what four bits cost a trained
// one.
#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tests/support/interpreter.h"
#include "tests/support/stories.h"

namespace nbl::test {
namespace {

constexpr const char* kStory =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.";

class Text : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    NBL_REQUIRE_STORIES();
  }
};

TEST_F(Text, goes_in_and_comes_out_as_a_story) {
  TestEngine engine(stories_file().span());
  engine.evaluate(engine.tokenize("Once upon a time", true));
  const std::string text = engine.detokenize(engine.generate(60));
  EXPECT_EQ(text.rfind(", there was a", 0), 0u) << text;
  EXPECT_NE(text.find('.'), std::string::npos) << text;
}

TEST_F(Text, comes_from_bos_alone) {
  TestEngine engine(stories_file().span());
  const nbl_info info = engine.info();
  ASSERT_GE(info.bos, 0);
  const uint32_t bos = static_cast<uint32_t>(info.bos);
  engine.evaluate({&bos, 1});
  const std::string text = engine.detokenize(engine.generate(40));
  EXPECT_EQ(text.rfind("Once upon a time, there was a", 0), 0u) << text;
}

TEST_F(Text, survives_both_directions) {
  TestEngine engine(stories_file().span());
  for (const std::string text :
       {kStory, "", " two  spaces ", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82",
        "line\nbreak\ttab", "\x01\x7f"}) {
    EXPECT_EQ(engine.detokenize(engine.tokenize(text, true)), text);
    EXPECT_EQ(engine.detokenize(engine.tokenize(text, false)), text);
  }
  const std::vector<uint32_t> with_bos = engine.tokenize(kStory, true);
  const std::vector<uint32_t> without = engine.tokenize(kStory, false);
  ASSERT_EQ(with_bos.size(), without.size() + 1);
  EXPECT_EQ(with_bos[0], static_cast<uint32_t>(engine.info().bos));
}

double perplexity_of(TestEngine* engine, std::span<const uint32_t> tokens) {
  std::vector<std::vector<double>> rows;
  for (const std::vector<float>& row : engine->logits_of(tokens, 64))
    rows.emplace_back(row.begin(), row.end());
  return perplexity(rows, tokens);
}

TEST_F(Text, is_as_likely_as_four_bits_allow) {
  for (const uint32_t group_size : {32u, 256u}) {
    const AlignedBytes& file = stories_file(true, group_size);
    TestEngine engine(file.span(), {.logits = NBL_LOGITS_ALL});
    const std::vector<uint32_t> tokens = engine.tokenize(kStory, true);
    const double found = perplexity_of(&engine, tokens);
    Interpreter model(file.span());
    const double expected = perplexity(model.evaluate(tokens), tokens);
    EXPECT_NEAR(found, expected, 1e-3 * expected);
    EXPECT_LT(found, 2);  // the checkpoint tells this text by itself
  }
}

}  // namespace
}  // namespace nbl::test
