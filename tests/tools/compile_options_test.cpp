// Breaks if an option of nibblec compile does not reach the model, or ends in anything but one
// sentence where it makes no sense.
#include <gtest/gtest.h>

#include "tests/support/process.h"
#include "tests/support/stories.h"

namespace {

using namespace nbl::test;

ProcessResult compile(std::vector<std::string> options, const TempFile& output) {
  std::vector<std::string> command = {NIBBLEC,
                                      "compile",
                                      (stories_folder() / "stories260K.bin").string(),
                                      "--tokenizer",
                                      (stories_folder() / "tok512.bin").string(),
                                      "-o",
                                      output.path().string()};
  command.insert(command.end(), options.begin(), options.end());
  return run_process(command);
}

std::string data(const char* name) {
  return std::string(NIBBLE_SOURCE_DIR) + "/tests/data/" + name;
}

TEST(CompileOptions, report_every_matrix_and_what_it_lost) {
  NBL_REQUIRE_STORIES();
  const TempFile output("", ".nbl");
  const ProcessResult made =
      compile({"--head-bits", "8", "--keep", "blk.0.ffn_down=8", "--keep", "blk.1.*=8", "--report",
               "--calibrate", data("calibration.txt"), "--eval", data("perplexity.txt")},
              output);
  ASSERT_EQ(made.status, 0) << made.err;
  for (const char* part :
       {"matrix", "of output", "token_embd.weight", "512 x 64    8     32    f16",
        "blk.0.ffn_down.weight", "weights as stored", "perplexity 3.5472",
        "4 and 8 bits, groups of 32, search, calibrated"}) {
    EXPECT_NE(made.out.find(part), std::string::npos) << part << "\n" << made.out;
  }
  const ProcessResult inspected = run_process({NIBBLEC, "inspect", output.path().string()});
  ASSERT_EQ(inspected.status, 0) << inspected.err;
  for (const char* part : {"embedding_q8gsw", "linear_q8gsw", "q8_t16k4, groups of 32, f16 scales",
                           "int4 and int8, f16 scales, search, calibrated with calibration.txt"}) {
    EXPECT_NE(inspected.out.find(part), std::string::npos) << part << "\n" << inspected.out;
  }
}

TEST(CompileOptions, that_make_no_sense_are_refused_in_one_sentence) {
  NBL_REQUIRE_STORIES();
  const TempFile output("", ".nbl");
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--keep", "blk.9.*=8"}, "no matrix of the model is named 'blk.9.*'"},
      {{"--keep", "blk.0.*=5"}, "'blk.0.*=5' is not PATTERN=8 or PATTERN=4"},
      {{"--keep", "=8"}, "'=8' is not PATTERN=8 or PATTERN=4"},
      {{"--head-bits", "6"}, "--head-bits"},
      {{"--quantizer", "best"}, "--quantizer: best not in {search,rtn}"},
      {{"--activations", "int4"}, "--activations: int4 not in {f32,int8}"},
      {{"--cache", "f8"}, "--cache: f8 not in {f16,f32,i8}"},
      {{"--calibrate", "/none"}, "/none"},
      {{"--eval", "/none"}, "/none"}};
  for (const auto& [options, sentence] : cases) {
    const ProcessResult result = compile(options, output);
    EXPECT_EQ(result.status, 1) << sentence;
    EXPECT_NE(result.err.find(sentence), std::string::npos) << result.err;
  }
}

TEST(CompileOptions, of_an_images_parts_are_refused_before_a_model_is_written) {
  const std::string checkpoint = std::string(NIBBLE_SOURCE_DIR) + "/models/demo/checkpoint";
  const TempFile output("as it was", ".nbl"), part("as it was", ".o");
  const std::string path = part.path().string();
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--emit-object", path, "--emit-symbol", "my-model"}, "the symbol 'my-model' is no C"},
      {{"--emit-object", path, "--emit-symbol", "int"}, "the symbol 'int' is a word of C itself"},
      {{"--emit-object", path, "--emit-symbol", ""}, "the symbol '' is no C identifier"},
      {{"--emit-object", path, "--machine", "mips"}, "there are no objects for machine mips"},
      {{"--emit-symbol", "model"}, "--emit-symbol requires --emit-object"},
      {{"--machine", "armv7"}, "--machine requires --emit-object"},
      {{"--emit-config", path}, "give --board NAME"},
      {{"--emit-kernels", path}, "give --board NAME"}};
  for (const auto& [options, sentence] : cases) {
    std::vector<std::string> command = {NIBBLEC, "compile", checkpoint, "-o",
                                        output.path().string()};
    command.insert(command.end(), options.begin(), options.end());
    const ProcessResult result = run_process(command);
    EXPECT_EQ(result.status, 1) << sentence;
    EXPECT_NE(result.err.find(sentence), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "") << sentence;
    for (const TempFile* file : {&output, &part})
      EXPECT_EQ(std::filesystem::file_size(file->path()), 9u) << sentence;
  }
}

}  // namespace
