// Breaks if the programs themselves do not take a PyTorch export from file to tokens, or end in
// anything but one sentence where they cannot.
#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tests/support/process.h"
#include "tests/support/pt2_compiled.h"

namespace {

using namespace nbl::test;

std::string joined(const std::vector<uint32_t>& tokens) {
  std::string text;
  for (const uint32_t token : tokens)
    text += (text.empty() ? "" : ",") + std::to_string(token);
  return text;
}

// Whatever stands between them.
std::vector<uint32_t> numbers_in(const std::string& text) {
  std::vector<uint32_t> numbers;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0)
      ++end;
    if (end > i) numbers.push_back(static_cast<uint32_t>(std::stoul(text.substr(i, end - i))));
    i = end + 1;
  }
  return numbers;
}

TEST(Pt2Tools, generate_the_tokens_of_pytorch_in_float64) {
  NBL_REQUIRE_VULKAN();
  // Tied, and quantized separately with opposite nibble orders.
  for (const char* name : {"tied_4bit", "half", "llama"}) {
    SCOPED_TRACE(name);
    const Pt2Golden golden = pt2_golden(name);
    const TempFile model("", ".nbl");
    const ProcessResult compiled =
        run_process({NIBBLEC, "compile", pt2_path(name).string(), "-o", model.path().string()});
    ASSERT_EQ(compiled.status, 0) << compiled.err;
    const ProcessResult run = run_process({NIBBLE_RUN, "-m", model.path().string(), "--tokens",
                                           joined(golden.prompt), "-n", "64", "--print-tokens"});
    ASSERT_EQ(run.status, 0) << run.err;
    EXPECT_EQ(numbers_in(run.out), golden.greedy) << run.out;
  }
}

TEST(Pt2Tools, show_names_and_ties) {
  const TempFile model("", ".nbl");
  const ProcessResult compiled = run_process(
      {NIBBLEC, "compile", pt2_path("tied_4bit").string(), "-o", model.path().string()});
  ASSERT_EQ(compiled.status, 0) << compiled.err;
  EXPECT_NE(compiled.out.find("saved by sharing"), std::string::npos) << compiled.out;
  const ProcessResult inspected = run_process({NIBBLEC, "inspect", model.path().string()});
  ASSERT_EQ(inspected.status, 0) << inspected.err;
  for (const char* name : {"layers.0.attention", "tok_embeddings", "output"})
    EXPECT_NE(inspected.out.find(name), std::string::npos) << name;
}

TEST(Pt2Tools, refuse_in_one_sentence) {
  for (const char* name : {"bad_unknown_op", "bad_length5", "bad_conflict"}) {
    const TempFile model("as it was", ".nbl");
    const ProcessResult compiled =
        run_process({NIBBLEC, "compile", pt2_path(name).string(), "-o", model.path().string()});
    EXPECT_NE(compiled.status, 0) << name;
    EXPECT_EQ(compiled.signal, 0) << name;
    EXPECT_EQ(compiled.error_lines(), 1) << compiled.err;
    EXPECT_NE(compiled.err.find(std::string(name) + ".pt2"), std::string::npos) << compiled.err;
    EXPECT_EQ(std::filesystem::file_size(model.path()), 9u);
  }
}

}  // namespace
