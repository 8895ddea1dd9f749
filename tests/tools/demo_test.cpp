// Could break: the demo that README promises, and what it is made of: a model folder compiled, a
// conversation, a prefix in place of its system turn, stop texts in the middle of it, a context
// that slides. The demo model's answers are its training's, exact to the letter.
#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tests/support/process.h"

namespace nbl {
namespace {

using test::ProcessResult;
using test::TempFile;

constexpr const char* kState = "hallway light 80, bedroom 19.5 degrees, playing jazz";

class Demo : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    const ProcessResult made = test::run_process(
        {NIBBLEC, "compile", NIBBLE_SOURCE_DIR "/models/demo/checkpoint", "-o", model_.path()});
    ASSERT_EQ(made.status, 0) << made.err;
  }

  static std::string chat(const TempFile& model, const std::string& input,
                          std::vector<std::string> options = {}) {
    options.insert(options.begin(), {NIBBLE_RUN, "-m", model.path(), "--chat", "-q"});
    const ProcessResult result = test::run_process(options, {}, input);
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  TempFile model_{"", ".nbl"};
};

TEST_F(Demo, answers_in_a_conversation) {
  EXPECT_EQ(chat(model_,
                 "How warm is it in the bedroom?\n"
                 "Dim the hallway lights to 30 percent\n"
                 "wake me at ten to seven on weekdays\n"
                 "start the dishwasher\n",
                 {"--system", kState}),
            "{\"answer\":19.5}\n"
            "{\"light\":\"hallway\",\"level\":30}\n"
            "{\"alarm\":\"06:50\",\"days\":\"weekdays\"}\n"
            "{\"refuse\":\"no such device\"}\n");
}

TEST_F(Demo, starts_after_a_prefix_as_after_the_system_turn) {
  const TempFile with_prefix("", ".nbl");
  const ProcessResult made =
      test::run_process({NIBBLEC, "prefix", model_.path(), "-o", with_prefix.path(), "--special",
                         "--text", std::string("<|im_start|>system\n") + kState + "<|im_end|>\n"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(chat(with_prefix, "what is playing?\n/reset\nhow bright is the hallway\n"),
            "{\"answer\":\"jazz\"}\n{\"answer\":80}\n");
  const ProcessResult refused =
      test::run_process({NIBBLE_RUN, "-m", with_prefix.path(), "--chat", "--system", "volume 3"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.err,
            "nibble-run: the model starts after a prefix, which takes the place of --system\n");
}

TEST_F(Demo, forgets_what_comes_behind_a_stop_text) {
  // The answer to the second turn is right only if the first one's rest is not in the context.
  EXPECT_EQ(chat(model_, "turn on the kitchen light\npause the music\n", {"--stop", ":\"kit"}),
            "{\"light\"\n{\"music\":\"pause\"}\n");
}

TEST_F(Demo, goes_on_when_its_context_is_full) {
  std::string said, answers;
  for (int i = 1; i <= 60; ++i) {
    said += "set the volume to " + std::to_string(i) + "\n";
    answers += "{\"volume\":" + std::to_string(i) + "}\n";
  }
  EXPECT_EQ(chat(model_, said, {"--on-full", "slide", "--context", "512"}), answers);
}

}  // namespace
}  // namespace nbl
