// Could break: nibble-run's options for states, prefixes and full contexts, and nibblec prefix, as
// their user meets them. Runs the programs themselves.
#include <gtest/gtest.h>

#include "tests/support/fault_rig.h"
#include "tests/support/process.h"

namespace nbl {
namespace {

using test::ProcessResult;
using test::TempFile;

class ContextOptions : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }

  static std::string model() {
    static const TempFile file(
        [] {
          const test::AlignedBytes bytes = test::tiny_model(false);
          return std::string(reinterpret_cast<const char*>(bytes.span().data()), bytes.size);
        }(),
        ".nbl");
    return file.path().string();
  }
  static ProcessResult run(std::vector<std::string> options, const std::string& file = model()) {
    std::vector<std::string> command = {NIBBLE_RUN, "-m", file};
    command.insert(command.end(), options.begin(), options.end());
    return test::run_process(command);
  }
  static ProcessResult prefix(const std::vector<std::string>& options) {
    std::vector<std::string> command = {NIBBLEC, "prefix", model()};
    command.insert(command.end(), options.begin(), options.end());
    return test::run_process(command);
  }
  static void expect_says(const ProcessResult& result, const std::string& part) {
    EXPECT_NE(result.status, 0);
    EXPECT_EQ(result.error_lines(), 1) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
};

TEST_F(ContextOptions, a_saved_state_goes_on_with_its_sampling) {
  const TempFile state("", ".state");
  const std::string path = state.path().string();
  const std::vector<std::string> sampling = {"--temp", "0.9", "--seed", "7"};
  const auto with = [&](std::vector<std::string> options) {
    options.insert(options.end(), sampling.begin(), sampling.end());
    return options;
  };
  const ProcessResult whole = run(with({"--tokens", "1,2,3", "-n", "30", "-q"}));
  const ProcessResult first =
      run(with({"--tokens", "1,2,3", "-n", "12", "-q", "--save-state", path}));
  ASSERT_EQ(first.status, 0) << first.err;
  const ProcessResult second = run({"--load-state", path, "-n", "18"});
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_NE(second.err.find("loaded 15 positions"), std::string::npos) << second.err;
  std::string joined = first.out + second.out;
  const auto squeeze = [](std::string text) {
    for (char& c : text)
      c = c == '\n' ? ' ' : c;
    std::erase(text, ' ');
    return text;
  };
  EXPECT_EQ(squeeze(joined), squeeze(whole.out));
  // A prompt comes behind what was there; sampling that is given counts.
  EXPECT_EQ(run({"--load-state", path, "--tokens", "4,5", "-n", "3", "-q"}).status, 0);
  EXPECT_NE(run({"--load-state", path, "-n", "18", "--seed", "8", "--temp", "5", "-q"}).out,
            second.out);
  expect_says(run({"--load-state", path, "--context", "9"}), "has 15 positions");
  expect_says(run({"--load-state", model()}), "this is no saved state");
  expect_says(run({"--tokens", "1", "--save-state", "/nonexistent/state"}), "cannot write");
}

TEST_F(ContextOptions, a_prefix_is_used_and_shown) {
  const TempFile out("", ".nbl");
  const std::string path = out.path().string();
  const ProcessResult made = prefix({"-o", path, "--tokens", "1,2,3,4,5,6,7,8"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_NE(made.out.find("starts after 8 tokens"), std::string::npos) << made.out;
  const ProcessResult shown = test::run_process({NIBBLEC, "inspect", path});
  EXPECT_NE(shown.out.find("prefix         8 tokens"), std::string::npos) << shown.out;
  const ProcessResult json = test::run_process({NIBBLEC, "inspect", path, "--json"});
  EXPECT_NE(json.out.find("\"prefix\""), std::string::npos);
  const std::string whole = run({"--tokens", "1,2,3,4,5,6,7,8,9,10", "-n", "20", "-q"}).out;
  const ProcessResult after = run({"--tokens", "9,10", "-n", "20"}, path);
  EXPECT_EQ(after.out, whole);
  EXPECT_NE(after.err.find("prefix of 8 tokens"), std::string::npos) << after.err;
  EXPECT_EQ(run({"-n", "20", "-q"}, path).out,
            run({"--tokens", "1,2,3,4,5,6,7,8", "-n", "20", "-q"}).out);
  expect_says(prefix({"-o", path, "--tokens", "1,,2"}), "this is not one");
  expect_says(prefix({"-o", path, "--text", "hello"}), "no tokenizer");
  expect_says(prefix({"-o", path, "--tokens", "1,400"}), "token 400 is out of range");
  expect_says(prefix({"-o", path}), "Exactly 1 option");
  expect_says(prefix({"-o", "/nonexistent/x.nbl", "--tokens", "1"}), "/nonexistent/x.nbl");
}

TEST_F(ContextOptions, a_full_context_stops_fails_or_slides) {
  const std::vector<std::string> base = {"--tokens", "1,2,3", "-n", "40", "-q", "--context", "20"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return run(more);
  };
  const auto tokens = [](const ProcessResult& result) {
    return std::count(result.out.begin(), result.out.end(), ' ') + 1;
  };
  const ProcessResult stopped = with({});
  EXPECT_EQ(stopped.status, 0);
  EXPECT_EQ(tokens(stopped), 17);
  EXPECT_NE(stopped.err.find("the context of 20 positions is full"), std::string::npos);
  const ProcessResult slid = with({"--on-full", "slide"});
  EXPECT_EQ(slid.status, 0) << slid.err;
  EXPECT_EQ(tokens(slid), 40);
  EXPECT_EQ(slid.out.compare(0, stopped.out.size() - 1, stopped.out, 0, stopped.out.size() - 1), 0);
  EXPECT_NE(with({"--on-full", "slide", "--sinks", "0"}).out, slid.out);
  const ProcessResult failed = with({"--on-full", "error"});
  EXPECT_NE(failed.status, 0);
  EXPECT_NE(failed.err.find("on_full is error"), std::string::npos) << failed.err;
  EXPECT_EQ(with({"--on-full", "loop"}).status, 1);
  expect_says(with({"--on-full", "slide", "--sinks", "20"}), "sink_tokens is 20");
}

}  // namespace
}  // namespace nbl
