// Could break: nibble-run's options for sampling and stop texts, from the command line to the text.
#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tests/support/process.h"
#include "tests/support/stories.h"

namespace nbl {
namespace {

using test::ProcessResult;
using test::TempFile;

class RunSampling : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    NBL_REQUIRE_STORIES();
  }

  static ProcessResult start(const std::vector<std::string>& options) {
    static const TempFile model(
        [] {
          const auto bytes = test::stories_file().span();
          return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }(),
        ".nbl");
    std::vector<std::string> command = {
        NIBBLE_RUN, "-m", model.path().string(), "-q", "-p", "Once upon a time", "--no-echo"};
    command.insert(command.end(), options.begin(), options.end());
    return test::run_process(command);
  }
  // What it wrote, without the last newline.
  static std::string story(const std::vector<std::string>& options) {
    const ProcessResult result = start(options);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out.substr(0, result.out.size() - 1);
  }
  static void expect_refusal(const std::vector<std::string>& options, const std::string& text) {
    const ProcessResult result = start(options);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "nibble-run: " + text + "\n");
  }
};

TEST_F(RunSampling, stops_in_front_of_stop_texts) {
  const std::string whole = story({"-n", "60"});
  const size_t at = whole.find("She");
  ASSERT_NE(at, std::string::npos) << whole;
  EXPECT_EQ(story({"-n", "60", "--stop", "She"}), whole.substr(0, at));
  EXPECT_EQ(story({"-n", "60", "--stop", "nowhere", "--stop", whole.substr(3, 6), "--stop", "She"}),
            whole.substr(0, 3));
  EXPECT_EQ(story({"-n", "60", "--stop", "nowhere"}), whole);
  // What is held back at the end is shown after all.
  EXPECT_EQ(story({"-n", "60", "--stop", whole.substr(whole.size() - 4) + "and more"}), whole);
  const TempFile logits("", ".bin");
  EXPECT_EQ(story({"-n", "60", "--stop", "She", "--logits", logits.path().string()}),
            whole.substr(0, at));
}

TEST_F(RunSampling, changes_the_story_as_asked) {
  const std::vector<std::string> plain = {"-n", "100", "--print-tokens"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> options = plain;
    options.insert(options.end(), more.begin(), more.end());
    return story(options);
  };
  const std::string greedy = with({});
  const std::string first = greedy.substr(0, greedy.find(' '));
  EXPECT_NE(with({"--repeat-penalty", "1.5"}), greedy);
  EXPECT_EQ(with({"--repeat-penalty", "1"}), greedy);
  EXPECT_NE(with({"--presence-penalty", "2"}), greedy);
  EXPECT_NE(with({"--frequency-penalty", "2"}), greedy);
  EXPECT_NE(with({"--frequency-penalty", "2", "--repeat-last-n", "3"}),
            with({"--frequency-penalty", "2"}));
  EXPECT_EQ(with({"--frequency-penalty", "2", "--repeat-last-n", "64"}),
            with({"--frequency-penalty", "2"}));
  EXPECT_EQ(with({"--temp", "1.5", "--min-p", "1"}), greedy);
  EXPECT_NE(with({"--temp", "1.5", "--min-p", "0.01"}), with({"--temp", "1.5"}));
  const std::string banned = with({"--logit-bias", first + "=-inf"});
  EXPECT_EQ((" " + banned + " ").find(" " + first + " "), std::string::npos) << banned;
  std::string forced;
  for (int i = 0; i < 100; ++i)
    forced += i == 0 ? "300" : " 300";
  EXPECT_EQ(with({"--logit-bias", "300=1000", "--logit-bias", "301=-2.5"}), forced);
  EXPECT_EQ(with({"--repeat-penalty", "1.3", "--temp", "0.7", "--burst", "1"}),
            with({"--repeat-penalty", "1.3", "--temp", "0.7", "--burst", "32"}));
}

TEST_F(RunSampling, refuses_with_one_sentence) {
  for (const std::string bad : {"15", "15=", "=1", "15=x", "-1=2", "15=1 ", "a=1"}) {
    expect_refusal(
        {"--logit-bias=" + bad},
        "--logit-bias takes TOKEN=VALUE, such as 15=-2.5 or 15=-inf; this is not one: " + bad);
  }
  expect_refusal({"--logit-bias", "512=1"}, "token 512 is out of range: the vocabulary has 512");
  expect_refusal({"--logit-bias", "1=nan"},
                 "the sampling is refused: a logit bias must be -infinity or -1e6 to 1e6");
  expect_refusal({"--logit-bias", "1=1", "--logit-bias", "1=2"},
                 "the sampling is refused: a token has two logit biases");
  expect_refusal({"--min-p", "nan"}, "the sampling is refused: min_p must be 0 to 1");
  expect_refusal({"--repeat-penalty", "0.001"},
                 "the sampling is refused: repeat_penalty must be 0 or 0.01 to 100");
  expect_refusal({"--stop", std::string(129, 'x')},
                 "a stop text has 129 bytes; it must have 1 to 128");
  expect_refusal({"--stop", "x", "--print-tokens"}, "--stop needs text: leave out --print-tokens");
  std::vector<std::string> many;
  for (int i = 0; i < 17; ++i) {
    many.push_back("--stop");
    many.push_back("x");
  }
  expect_refusal(many, "argument count (of stop texts) is 17; it must be at most 16");
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"--min-p", "1.5"},
                                              {"--repeat-penalty", "-1"},
                                              {"--presence-penalty", "101"},
                                              {"--frequency-penalty", "-101"},
                                              {"--repeat-last-n", "0"},
                                              {"--repeat-last-n", "1025"},
                                              {"--stop", ""}}) {
    const ProcessResult result = start(bad);
    EXPECT_EQ(result.status, 1) << bad[0];
    EXPECT_EQ(result.error_lines(), 1) << result.err;
    EXPECT_NE(result.err.find(bad[0] == "--stop" ? "1 to 128" : bad[0]), std::string::npos)
        << result.err;
  }
}

}  // namespace
}  // namespace nbl
