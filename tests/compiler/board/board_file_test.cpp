// Could break: a fact of a board that is read wrong, ignored or lost; a board file with a mistake
// that is taken for another board; one below the floor that is planned for.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "boards/boards.h"
#include "tests/support/temp_file.h"

namespace nbl {
namespace {

using nlohmann::json;

json facts_of(const char* name) {
  std::ifstream file(std::string(NIBBLE_SOURCE_DIR) + "/boards/" + name + "/board.json");
  return json::parse(file);
}

std::string error_of(const json& board) {
  try {
    parse_board(board.dump(), "some.json");
  } catch (const BoardError& error) {
    return error.what();
  }
  return "no error";
}

TEST(BoardFile, of_every_board_is_in_the_program) {
  size_t count = 0;
  const std::filesystem::path folder = std::string(NIBBLE_SOURCE_DIR) + "/boards";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!std::filesystem::exists(entry.path() / "board.json")) continue;
    const std::string name = entry.path().filename();
    const Board* board = find_board(name);
    ASSERT_NE(board, nullptr) << name;
    EXPECT_EQ(board->name, name);
    EXPECT_FALSE(board->provenance.empty()) << name;
    EXPECT_TRUE(std::filesystem::exists(entry.path() / "README.md")) << name;
    if (!board->toolchain.empty()) {
      const auto toolchain =
          std::string(NIBBLE_SOURCE_DIR) + "/cmake/toolchains/" + board->toolchain + ".cmake";
      const bool native = board->toolchain == "x86_64-linux-gnu";
      EXPECT_TRUE(native || std::filesystem::exists(toolchain)) << toolchain;
    }
    for (const std::string& alias : board->aliases)
      EXPECT_EQ(find_board(alias), board) << alias;
    ++count;
  }
  EXPECT_EQ(count, boards().size());
  EXPECT_GE(count, 10u);
}

TEST(BoardFile, comes_out_as_the_caps_it_says) {
  const Board board = parse_board(facts_of("qcs6490").dump(), "some.json");
  EXPECT_EQ(board.caps.vendor_id, 0x5143u);
  EXPECT_EQ(board.caps.api_version, 1u << 22 | 3u << 12);
  EXPECT_EQ(board.caps.kind, DeviceKind::integrated);
  EXPECT_EQ(board.caps.subgroup_size, 64u);
  EXPECT_EQ(board.caps.max_workgroup_x, 1024u);
  EXPECT_EQ(board.caps.max_storage_range_bytes, 128u << 20);
  EXPECT_EQ(board.caps.features & (kTextureWeights | kFloat16 | kStorage8),
            kTextureWeights | kFloat16);
  EXPECT_FLOAT_EQ(board.caps.timestamp_period_ns, 52.083f);
  EXPECT_EQ(board.caps.memory_heap_bytes[0], uint64_t{4096} << 20);
  EXPECT_EQ(board.caps.memory_types[0].flags,
            kDeviceLocal | kHostVisible | kHostCoherent | kHostCached);
  EXPECT_TRUE(board.watchdog.of_submit);
  EXPECT_EQ(board.watchdog.ms, 500u);
}

// What a device writes of itself is a board with the same plan.
TEST(BoardFile, keeps_all_that_caps_say) {
  for (const Board& board : boards()) {
    const Board again = parse_board(board_text(board.caps), "some.json");
    const Caps& a = board.caps;
    const Caps& b = again.caps;
    EXPECT_STREQ(a.name, b.name);
    EXPECT_EQ(a.features, b.features) << board.name;
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(a.api_version, b.api_version);
    EXPECT_EQ(a.max_invocations, b.max_invocations);
    EXPECT_EQ(a.max_workgroup_x, b.max_workgroup_x);
    EXPECT_EQ(a.max_storage_range_bytes, b.max_storage_range_bytes);
    EXPECT_EQ(a.max_allocation_bytes, b.max_allocation_bytes);
    EXPECT_EQ(a.max_grid[0], b.max_grid[0]);
    EXPECT_EQ(a.lanes, b.lanes);
    EXPECT_EQ(a.gigaflops, b.gigaflops);
    EXPECT_EQ(a.timestamp_period_ns, b.timestamp_period_ns);
    EXPECT_EQ(a.memory_type_count, b.memory_type_count);
    EXPECT_EQ(a.memory_types[0].flags, b.memory_types[0].flags);
    EXPECT_EQ(a.memory_heap_bytes[0], b.memory_heap_bytes[0]);
    EXPECT_EQ(a.image_rows_bytes, b.image_rows_bytes);
  }
}

TEST(BoardFile, with_a_mistake_is_refused_by_the_name_of_the_fact) {
  const json good = facts_of("rpi5");
  EXPECT_EQ(error_of(good), "no error");
  const struct {
    const char* pointer;
    json value;  // null: the fact is gone
    const char* error;
  } cases[] = {
      {"/name", nullptr, "some.json: name is missing"},
      {"/vulkan/kind", "fast", "vulkan.kind is \"fast\"; there are other, integrated"},
      {"/vulkan/features", json::array({"storage16", "fp16"}), "vulkan.features is \"fp16\""},
      {"/vulkan/vendor_id", "pi", "vulkan.vendor_id has to be a number such as"},
      {"/vulkan/api", "one", "vulkan.api has to be a version such as"},
      {"/vulkan/subgroup_size", -16, "vulkan.subgroup_size has to be a whole number"},
      {"/vulkan/timestamp_bits", 0, "vulkan.timestamp_bits and the feature timestamps go together"},
      {"/vulkan/matrix_m", 16, "vulkan.matrix_m is for the feature cooperative_matrix"},
      {"/vulkan/max_shared", 16384, "vulkan.max_shared is no fact of a board"},
      {"/memory/heaps_mib", json::array(), "memory.heaps_mib has to be a list of 1 to 16"},
      {"/memory/types/0/heap", 1, "memory.types.heap has to be a whole number up to 0"},
      {"/memory/types/0/flags", 3, "memory.types.flags has to be a list of texts"},
      {"/speed/decode_share", 1.5, "speed.decode_share has to be 1 at most"},
      {"/speed/dram_gb_per_s", 0, "speed.dram_gb_per_s has to be a number of at least"},
      {"/watchdog/of", "job", "watchdog.of is \"job\"; there are dispatch, submit"},
      {"/budget", nullptr, "some.json: budget is missing"},
      {"/budget", 3, "budget. has to be an object"},
  };
  for (const auto& c : cases) {
    json board = good;
    const json::json_pointer at(c.pointer);
    if (c.value.is_null()) {
      board[at.parent_pointer()].erase(at.back());
    } else {
      board[at] = c.value;
    }
    EXPECT_NE(error_of(board).find(c.error), std::string::npos)
        << c.pointer << ": " << error_of(board);
  }
  EXPECT_THROW(parse_board("{", "some.json"), BoardError);
  EXPECT_THROW(parse_board("[1]", "some.json"), BoardError);
}

TEST(BoardFile, has_a_shape_of_matrices_that_kernels_take) {
  json board = facts_of("rpi5");
  board["vulkan"]["features"].push_back("cooperative_matrix");
  EXPECT_NE(error_of(board).find("matrix_k is 0 x 0 x 0"), std::string::npos) << error_of(board);
  board["vulkan"]["matrix_m"] = board["vulkan"]["matrix_n"] = 8;
  board["vulkan"]["matrix_k"] = 64;
  EXPECT_NE(error_of(board).find("is 8 x 8 x 64; cooperative_matrix is"), std::string::npos)
      << error_of(board);
  board["vulkan"]["matrix_k"] = 32;
  EXPECT_EQ(error_of(board), "no error");
  const Caps caps = parse_board(board.dump(), "some.json").caps;
  const Caps again = parse_board(board_text(caps), "again").caps;
  EXPECT_EQ(again.features, caps.features);
  EXPECT_EQ(again.matrix_m, 8u);
  EXPECT_EQ(again.matrix_k, 32u);
}

TEST(BoardFile, below_the_floor_is_refused_with_every_reason) {
  json board = facts_of("rpi4");
  board["vulkan"]["api"] = "1.0";
  board["vulkan"]["max_invocations"] = 64;
  board["vulkan"]["max_shared_bytes"] = 8192;
  board["vulkan"]["max_storage_buffers"] = 4;
  board["vulkan"]["max_storage_range_bytes"] = 1 << 20;
  board["memory"]["types"][0]["flags"] = {"device_local"};
  const std::string error = error_of(board);
  for (const char* reason :
       {"rpi4 is too small for nibble", "Vulkan 1.0, needed 1.1", "max_invocations 64, needed 128",
        "max_shared_bytes 8192, needed 16384", "max_storage_buffers 4, needed 8",
        "max_storage_range_bytes 1048576, needed 134217728", "no memory type is host_visible"}) {
    EXPECT_NE(error.find(reason), std::string::npos) << reason << " in: " << error;
  }
}

TEST(BoardFile, of_the_users_own_is_opened_by_its_path) {
  const test::TempFile file(board_text(find_board("rk3588")->caps));
  EXPECT_EQ(open_board(file.path()).caps.vendor_id, 0x13b5u);
  EXPECT_EQ(open_board("mali-g610").name, "rk3588");
  try {
    open_board("no-such-board");
    FAIL();
  } catch (const BoardError& error) {
    EXPECT_NE(std::string(error.what()).find("there is no board no-such-board; there are floor"),
              std::string::npos);
  }
  EXPECT_THROW(open_board("/no/such/board.json"), BoardError);
}

}  // namespace
}  // namespace nbl
