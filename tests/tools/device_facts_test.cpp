// Could break: a board file of a real device that the compiler refuses or that is of another
// device, a limit or a memory type that the report leaves out.
#include "tools/common/device_facts.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "boards/boards.h"
#include "tests/support/engine.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/process.h"

namespace nbl::tools {
namespace {

using nlohmann::json;
using test::run_process;
using test::TempFile;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

DeviceFacts of_board(const char* name) {
  return {find_board(name)->caps, "a driver"};
}

TEST(DeviceFacts, become_the_board_of_the_device) {
  const DeviceFacts facts = of_board("rk3588");
  DeviceRates rates;
  rates.copy.gigabytes_per_second = 12.5;
  const Board measured = parse_board(board_of(facts, rates), "board.json");
  EXPECT_EQ(measured.caps.max_storage_range_bytes, facts.caps.max_storage_range_bytes);
  EXPECT_EQ(measured.speed.dram_gb_per_s, 12.5);
  ASSERT_GE(measured.provenance.size(), 2u);
  EXPECT_TRUE(has(measured.provenance[0], "a driver"));
  EXPECT_TRUE(has(measured.provenance[1], "measured"));
  const Board estimated = parse_board(board_of(facts, {}), "board.json");
  EXPECT_EQ(estimated.speed.dram_gb_per_s, facts.caps.gigabytes_per_s);
  EXPECT_FALSE(has(estimated.provenance[1], "measured"));
}

TEST(DeviceFacts, of_a_name_that_is_no_text_are_readable) {
  DeviceFacts facts = of_board("floor");
  facts.caps.name[0] = '\xff';
  facts.caps.name[1] = 0;
  facts.driver = "\xfe";
  EXPECT_NO_THROW(parse_board(board_of(facts, {}), "board.json"));
  EXPECT_FALSE(describe_device(facts).empty());
}

TEST(DeviceFacts, are_told_in_lines) {
  DeviceFacts facts = of_board("floor");
  facts.caps.api_version = 1u << 22 | 2u << 12;
  facts.caps.vendor_id = 0x14e4;
  facts.caps.features = kFloat16 | kTimestamps;
  facts.caps.max_shared_bytes = 16384;
  facts.caps.memory_heap_count = 2;
  facts.caps.memory_heap_bytes[0] = 512ull << 20;
  facts.caps.memory_heap_bytes[1] = 300;
  facts.caps.memory_type_count = 3;
  facts.caps.memory_types[0] = {kDeviceLocal, 0};
  facts.caps.memory_types[1] = {kHostVisible | kHostCoherent, 1};
  facts.caps.memory_types[2] = {kNoFeatures, 0};
  const std::string text = describe_device(facts);
  EXPECT_TRUE(has(text, "Vulkan 1.2, vendor 0x14e4")) << text;
  EXPECT_TRUE(has(text, "features: float16 timestamps\n")) << text;
  EXPECT_TRUE(has(text, "binding 128 MiB")) << text;
  EXPECT_TRUE(has(text, "shared 16 KiB, 128 invocations, subgroups of 1\n")) << text;
  EXPECT_TRUE(has(text,
                  "memory heap 0: 512 MiB\n  type 0: device_local\n  type 2: none\n"
                  "memory heap 1: 300 bytes\n  type 1: host_visible host_coherent\n"))
      << text;
}

TEST(DeviceFacts, are_a_board_that_the_compiler_takes) {
  NBL_REQUIRE_VULKAN();
  const test::ProcessResult facts = run_process({NIBBLE_BENCH, "--facts", "--no-copy"});
  ASSERT_EQ(facts.status, 0) << facts.err;
  const Board board = parse_board(facts.out, "the device");
  EXPECT_EQ(board.device, facts_of(test::vulkan_entry(), -1).caps.name);
  const TempFile file(facts.out, ".json"), output("", ".nbl");
  const TempFile checkpoint(test::write_gguf_llama({}).bytes, ".gguf");
  const test::ProcessResult compiled =
      run_process({NIBBLEC, "compile", checkpoint.path().string(), "-o", output.path().string(),
                   "--board", file.path().string()});
  EXPECT_EQ(compiled.status, 0) << compiled.err;
}

TEST(DeviceFacts, of_a_device_that_is_not_there_are_refused_in_a_line) {
  NBL_REQUIRE_VULKAN();
  const test::ProcessResult facts = run_process({NIBBLE_BENCH, "--facts", "--device", "60000"});
  EXPECT_EQ(facts.status, 1);
  EXPECT_EQ(facts.out, "");
  EXPECT_EQ(facts.error_lines(), 1) << facts.err;
  EXPECT_TRUE(has(facts.err, "60000")) << facts.err;
}

}  // namespace
}  // namespace nbl::tools
