#include "boards/boards.h"

#include <fstream>
#include <iterator>

#include "boards/board_files.h"

namespace nbl {
namespace {

const std::vector<Board>& known_boards() {
  static const std::vector<Board> table = [] {
    std::vector<Board> all;
    for (const BoardFile& file : board_files())
      all.push_back(parse_board(file.text, file.path));
    return all;
  }();
  return table;
}

bool is_called(const Board& board, std::string_view name) {
  if (board.name == name) return true;
  for (const std::string& alias : board.aliases) {
    if (alias == name) return true;
  }
  return false;
}

}  // namespace

std::span<const Board> boards() {
  return known_boards();
}

const Board* find_board(std::string_view name) {
  for (const Board& board : boards()) {
    if (is_called(board, name)) return &board;
  }
  return nullptr;
}

Board open_board(const std::string& name) {
  if (const Board* board = find_board(name)) return *board;
  if (name.find('/') == std::string::npos && name.find('.') == std::string::npos) {
    std::string known;
    for (const Board& board : boards())
      known += (known.empty() ? "" : ", ") + board.name;
    throw BoardError("there is no board " + name + "; there are " + known +
                     ", and files such as ./board.json");
  }
  std::ifstream file(name);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw BoardError(name + ": no board file can be read there");
  return parse_board(text, name);
}

std::vector<std::string> below_floor(const Caps& caps) {
  const Caps least = floor_caps();
  std::vector<std::string> reasons;
  const auto need = [&](const char* what, uint64_t has, uint64_t needs) {
    if (has >= needs) return;
    reasons.push_back(std::string(what) + " " + std::to_string(has) + ", needed " +
                      std::to_string(needs));
  };
  constexpr uint32_t kVersion11 = 1u << 22 | 1u << 12;
  if (caps.api_version < kVersion11) {
    reasons.push_back("Vulkan " + std::to_string(caps.api_version >> 22) + "." +
                      std::to_string(caps.api_version >> 12 & 0x3ff) + ", needed 1.1");
  }
  need("max_invocations", caps.max_invocations, least.max_invocations);
  need("max_workgroup_x", caps.max_workgroup_x, least.max_workgroup_x);
  need("max_shared_bytes", caps.max_shared_bytes, least.max_shared_bytes);
  need("max_push_bytes", caps.max_push_bytes, least.max_push_bytes);
  need("max_storage_buffers", caps.max_storage_buffers, least.max_storage_buffers);
  need("max_storage_range_bytes", caps.max_storage_range_bytes, least.max_storage_range_bytes);
  if (caps.subgroup_size == 0 || caps.subgroup_size > 128) {
    reasons.push_back("subgroup_size " + std::to_string(caps.subgroup_size) + ", needed 1 to 128");
  }
  if (caps.storage_align_bytes > 256) {
    reasons.push_back("storage_align_bytes " + std::to_string(caps.storage_align_bytes) +
                      ", 256 at most");
  }
  bool visible = false;
  for (uint32_t i = 0; i < caps.memory_type_count; ++i)
    visible = visible || (caps.memory_types[i].flags & kHostVisible) != 0;
  if (!visible) reasons.push_back("no memory type is host_visible");
  return reasons;
}

}  // namespace nbl
