#include "compiler/board/memory_on.h"

#include <fmt/format.h>

#include "boards/fake/fake_vulkan.h"
#include "compiler/error.h"

namespace nbl::compiler {
namespace {

// What nbl_memory_needed() may work in: half of it is the fake driver's.
constexpr size_t kProbeBytes = size_t{128} << 20;

}  // namespace

std::vector<ConfigFlag> flags_of(const Board& board) {
  std::vector<ConfigFlag> flags;
  if (board.kernels.floor) flags.push_back({NBL_FLAG_FLOOR_KERNELS, "NBL_FLAG_FLOOR_KERNELS"});
  if (board.kernels.float32) flags.push_back({NBL_FLAG_FLOAT32, "NBL_FLAG_FLOAT32"});
  if (board.kernels.weights == "texture") {
    flags.push_back({NBL_FLAG_TEXTURE_WEIGHTS, "NBL_FLAG_TEXTURE_WEIGHTS"});
  }
  if (board.kernels.weights == "buffer") {
    flags.push_back({NBL_FLAG_BUFFER_WEIGHTS, "NBL_FLAG_BUFFER_WEIGHTS"});
  }
  return flags;
}

nbl_memory memory_on(const Model& model, const Board& board, const EngineSizes& sizes) {
  const fake::FakeVulkan vulkan(board.caps);
  std::vector<std::byte> arena(kProbeBytes + 64);
  nbl_config config = {};
  config.get_instance_proc_addr = vulkan.entry();
  config.model = model.file().data();
  config.model_bytes = model.file().size();
  config.arena = arena.data() + (-reinterpret_cast<uintptr_t>(arena.data()) & 63);
  config.arena_bytes = kProbeBytes;
  config.context = sizes.context;
  config.prefill_chunk = sizes.prefill_chunk;
  config.max_burst = sizes.max_burst;
  config.logits = sizes.logits;
  config.on_full = NBL_ON_FULL_SLIDE;  // takes a little more than the others
  for (const ConfigFlag& flag : flags_of(board))
    config.flags |= flag.bit;
  nbl_memory memory = {};
  nbl_error error = {};
  if (nbl_memory_needed(&config, &memory, &error) != 0) {
    char text[256];
    nbl_error_text(&error, text, sizeof text);
    throw CompileError(fmt::format("board {}: {}", board.name, text));
  }
  return memory;
}

}  // namespace nbl::compiler
