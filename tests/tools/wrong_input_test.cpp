// Could break: a tool crashes, succeeds, or says nothing or a page of text where one line tells
// what is wrong with its input. Runs the programs themselves.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include <cstring>

#include "tests/support/fault_rig.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/hostile_file.h"
#include "tests/support/planted.h"
#include "tests/support/process.h"

namespace nbl {
namespace {

using test::ProcessResult;
using test::run_process;
using test::TempFile;

std::string bytes_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  if (at == std::string::npos) throw std::runtime_error("there is no " + what);
  return text.substr(0, at) + with + text.substr(at + what.size());
}

// One line that begins with the tool's name and has `part` in it.
void expect_refusal(const ProcessResult& result, const std::string& tool, const std::string& part) {
  EXPECT_EQ(result.signal, 0) << result.err;
  EXPECT_GT(result.status, 0) << result.err;
  EXPECT_EQ(result.error_lines(), 1) << result.err;
  EXPECT_EQ(result.err.compare(0, tool.size() + 2, tool + ": "), 0) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << "no '" << part << "' in " << result.err;
}

class WrongInput : public testing::Test {
 protected:
  static ProcessResult run_model(const std::filesystem::path& model,
                                 std::vector<std::string> options = {"--tokens", "1,2", "-n", "2"},
                                 const std::vector<std::string>& environment = {}) {
    std::vector<std::string> command = {NIBBLE_RUN, "-m", model.string(), "-q"};
    command.insert(command.end(), options.begin(), options.end());
    return run_process(command, environment);
  }
  static ProcessResult bench(const std::filesystem::path& model,
                             std::vector<std::string> options = {}) {
    std::vector<std::string> command = {NIBBLE_BENCH, "-m", model.string()};
    command.insert(command.end(), options.begin(), options.end());
    return run_process(command);
  }
  static ProcessResult compile(const std::string& checkpoint) {
    const TempFile input(checkpoint, ".gguf"), output("", ".nbl");
    return run_process({NIBBLEC, "compile", input.path().string(), "-o", output.path().string()});
  }
  static std::string gguf() {
    static const std::string bytes = test::write_gguf_llama({}).bytes;
    return bytes;
  }
  static const test::AlignedBytes& model() {
    static const test::AlignedBytes file = test::tiny_model(false);
    return file;
  }

  // The same wrong model for every tool that reads one.
  static void expect_refused_everywhere(const std::string& bytes, const std::string& part) {
    const TempFile file(bytes, ".nbl");
    expect_refusal(run_model(file.path()), "nibble-run", part);
    expect_refusal(bench(file.path()), "nibble-bench", part);
    expect_refusal(run_process({NIBBLEC, "inspect", file.path().string()}), "nibblec", part);
  }
};

TEST_F(WrongInput, a_missing_file_is_named) {
  const std::string path = "/nonexistent/model.nbl";
  expect_refusal(run_model(path), "nibble-run", path);
  expect_refusal(bench(path), "nibble-bench", path);
  expect_refusal(run_process({NIBBLEC, "inspect", path}), "nibblec", path);
  expect_refusal(run_process({NIBBLEC, "compile", path, "-o", "/tmp/none.nbl"}), "nibblec", path);
}

TEST_F(WrongInput, an_output_that_cannot_be_written_is_named) {
  const TempFile input(gguf(), ".gguf");
  expect_refusal(
      run_process({NIBBLEC, "compile", input.path().string(), "-o", "/nonexistent/out.nbl"}),
      "nibblec", "/nonexistent/out.nbl");
}

TEST_F(WrongInput, outputs_of_a_benchmark_that_cannot_be_written_are_named) {
  NBL_REQUIRE_VULKAN();
  const TempFile file(bytes_of(model().span()), ".nbl");
  for (const std::string option : {"--trace", "--kernels-tsv", "--dispatches-tsv"}) {
    for (const std::string path : {"/nonexistent/out", "/tmp", "/dev/full"}) {
      SCOPED_TRACE(option + " " + path);
      expect_refusal(
          bench(file.path(), {"-p", "0", "-n", "0", "-r", "1", "--no-copy", option, path}),
          "nibble-bench", path);
    }
  }
}

TEST_F(WrongInput, devices_without_timestamps_have_a_report_and_no_trace) {
  NBL_REQUIRE_VULKAN();
  const TempFile file(bytes_of(model().span()), ".nbl"), out("kept", ".json");
  const std::unique_ptr<void, int (*)(void*)> loader(dlopen("libvulkan.so.1", RTLD_NOW), &dlclose);
  link_map* map = nullptr;
  ASSERT_EQ(dlinfo(loader.get(), RTLD_DI_LINKMAP, &map), 0);
  const auto run = [&](std::vector<std::string> options) {
    std::vector<std::string> command = {
        NIBBLE_BENCH, "-m", file.path().string(), "-p", "0", "-n", "2", "-r", "1", "--no-copy"};
    command.insert(command.end(), options.begin(), options.end());
    return run_process(command, {std::string("NIBBLE_REAL_VULKAN=") + map->l_name,
                                 std::string("LD_LIBRARY_PATH=") + NO_TIMESTAMPS});
  };
  for (const std::string option : {"--trace", "--kernels-tsv", "--dispatches-tsv"}) {
    expect_refusal(run({option, out.path().string()}), "nibble-bench", "has no timestamps");
    EXPECT_EQ(std::filesystem::file_size(out.path()), 4u) << "what was there is kept";
  }
  for (const std::string option : {"--kernels", "--dispatches"}) {
    const ProcessResult result = run({option});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.error_lines(), 1) << result.err;
    EXPECT_NE(result.err.find("note: "), std::string::npos) << result.err;
    EXPECT_NE(result.out.find("| tg 2 |"), std::string::npos) << result.out;
  }
}

TEST_F(WrongInput, a_directory_or_an_empty_file_is_no_model) {
  expect_refusal(run_model("/tmp"), "nibble-run", "/tmp");
  const TempFile empty("", ".nbl");
  expect_refusal(run_model(empty.path()), "nibble-run", "empty");
}

TEST_F(WrongInput, a_truncated_model_is_refused) {
  const std::string bytes = bytes_of(model().span());
  expect_refused_everywhere(bytes.substr(0, bytes.size() - 4096), "truncated");
  expect_refused_everywhere(bytes.substr(0, 40), "truncated");
}

TEST_F(WrongInput, other_files_are_no_models) {
  expect_refused_everywhere(gguf(), "not a nibble model");
  expect_refused_everywhere("a story", "not a nibble model");
}

TEST_F(WrongInput, a_future_version_is_named) {
  test::HostileFile file(model());
  file.header().version = 23;
  expect_refused_everywhere(bytes_of(file.bytes()), "version 23");
}

TEST_F(WrongInput, checkpoints_that_are_not_understood_are_refused) {
  expect_refusal(compile("a story"), "nibblec", "");
  expect_refusal(compile(gguf().substr(0, 1000)), "nibblec", "");
  expect_refusal(compile(gguf().substr(0, gguf().size() - 4096)), "nibblec", "");
  const std::string value("\x05\0\0\0\0\0\0\0llama", 13);
  expect_refusal(compile(replaced(gguf(), value, replaced(value, "llama", "mamba"))), "nibblec",
                 "mamba");
}

TEST_F(WrongInput, a_tensor_type_that_is_not_known_is_named_with_its_tensor) {
  // The entry of a matrix: name, rank, two dimensions, type.
  std::string bytes = gguf();
  const std::string name = "blk.0.attn_q.weight";
  const size_t type_at = bytes.find(name) + name.size() + 4 + 16;
  ASSERT_EQ(bytes[type_at], '\0') << "f32";
  bytes[type_at] = 99;
  const ProcessResult result = compile(bytes);
  expect_refusal(result, "nibblec", name);
  EXPECT_NE(result.err.find("99"), std::string::npos) << result.err;
}

TEST_F(WrongInput, weights_that_are_not_finite_are_reported_with_the_position) {
  NBL_REQUIRE_VULKAN();
  test::PlantedFile planted(model());
  planted.plant(planted.find("output_norm.weight"), 0, test::kNanBits);
  const TempFile file(bytes_of(planted.bytes()), ".nbl");
  const ProcessResult result = run_model(file.path());
  expect_refusal(result, "nibble-run", "the logits at position 1 are not finite");
  EXPECT_EQ(result.out, "");
}

TEST_F(WrongInput, text_for_a_model_without_a_tokenizer_is_refused_and_ids_are_not) {
  const TempFile input(test::write_gguf_llama({.tokenizer = false}).bytes, ".gguf");
  const TempFile output("", ".nbl");
  const ProcessResult compiled =
      run_process({NIBBLEC, "compile", input.path().string(), "-o", output.path().string()});
  EXPECT_EQ(compiled.status, 0) << compiled.err;
  EXPECT_NE(compiled.err.find("warning"), std::string::npos);
  NBL_REQUIRE_VULKAN();
  expect_refusal(run_model(output.path(), {"-p", "Once"}), "nibble-run", "--tokens");
  const ProcessResult ids = run_model(output.path());
  EXPECT_EQ(ids.status, 0) << ids.err;
  EXPECT_EQ(ids.err, "");
  EXPECT_FALSE(ids.out.empty());
}

TEST_F(WrongInput, machines_without_a_device_are_told_so) {
  NBL_REQUIRE_VULKAN();
  const TempFile file(bytes_of(model().span()), ".nbl");
  const TempFile empty("", ".json");
  for (const std::string& icd : {std::string("/nonexistent.json"), empty.path().string()}) {
    const ProcessResult result =
        run_model(file.path(), {"--tokens", "1", "-n", "1"},
                  {"VK_DRIVER_FILES=" + icd, "VK_ICD_FILENAMES=" + icd, "VK_LOADER_DEBUG=none"});
    expect_refusal(result, "nibble-run", "Vulkan");
  }
}

TEST_F(WrongInput, bad_options_are_refused) {
  const TempFile file(bytes_of(model().span()), ".nbl");
  const std::vector<std::vector<std::string>> options = {{"--no-such-option"},
                                                         {"--tokens", "1,x"},
                                                         {"--tokens", "1,2", "-n", "many"},
                                                         {"--temp", "-1"},
                                                         {"--context", "0"},
                                                         {"--tokens", "1", "--weights", "images"},
                                                         {"--tokens", "1", "--context", "100000"},
                                                         {"--tokens", "400"},
                                                         {"--device", "99", "--tokens", "1"},
                                                         {"-p", "a", "--tokens", "1"}};
  for (const auto& each : options) {
    SCOPED_TRACE(each.front() + " " + each.back());
    expect_refusal(run_model(file.path(), each), "nibble-run", "");
  }
  expect_refusal(run_process({NIBBLE_RUN}), "nibble-run", "model");
  expect_refusal(bench(file.path(), {"--no-such-option"}), "nibble-bench", "");
  expect_refusal(bench(file.path(), {"--weights", "fast"}), "nibble-bench", "texture");
  expect_refusal(run_process({NIBBLEC}), "nibblec", "");
  expect_refusal(run_process({NIBBLEC, "fly"}), "nibblec", "");
  expect_refusal(run_process({NIBBLEC, "compile", "x", "-o", "y", "--group-size", "33"}), "nibblec",
                 "group-size");
  expect_refusal(run_process({NIBBLEC, "compile", "x", "-o", "y", "--cache", "f8"}), "nibblec",
                 "cache");
}

}  // namespace
}  // namespace nbl
