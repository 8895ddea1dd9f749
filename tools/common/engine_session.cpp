#include "tools/common/engine_session.h"

#include <fmt/format.h>

#include <chrono>
#include <new>

#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

constexpr size_t kArenaAlignBytes = 64;
// nbl_memory_needed() opens a device in it; half of it serves the driver. lavapipe needs 5.4 MiB.
constexpr size_t kProbeBytes = 16 << 20;

}  // namespace

EngineSession::Block EngineSession::allocate(uint64_t size_bytes) {
  const size_t rounded =
      (static_cast<size_t>(size_bytes) + kArenaAlignBytes - 1) & ~(kArenaAlignBytes - 1);
  Block block(std::aligned_alloc(kArenaAlignBytes, rounded));
  if (block == nullptr) {
    throw Failure(fmt::format("this machine has no {} bytes of memory for the arena", size_bytes));
  }
  return block;
}

EngineSession::EngineSession(nbl_config config) {
  nbl_error error = {};
  {
    const Block probe = allocate(kProbeBytes);
    config.arena = probe.get();
    config.arena_bytes = kProbeBytes;
    check(nibble::memory_needed(config, &needed_, &error), error);
  }
  arena_ = allocate(needed_.host_bytes);
  config.arena = arena_.get();
  config.arena_bytes = static_cast<size_t>(needed_.host_bytes);
  const auto start = std::chrono::steady_clock::now();
  check(engine_.open(config, &error), error);
  open_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<uint32_t> EngineSession::tokenize(std::string_view text, uint32_t flags) {
  // A byte is at most one token; BOS and the space put in front are two more.
  std::vector<uint32_t> tokens(text.size() + 2);
  std::vector<std::byte> scratch(nibble::Engine::tokenize_scratch_bytes(text.size()) + 8);
  size_t count = 0;
  nbl_error error = {};
  check(engine_.tokenize(text, flags, scratch, tokens, &count, &error), error);
  tokens.resize(count);
  return tokens;
}

std::string describe_memory(const nbl_info& info) {
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  const nbl_memory& memory = info.memory;
  std::string text;
  text += fmt::format(
      "host memory    {:8.2f} MiB arena, of it {:.2f} MiB for the driver ({:.2f} used "
      "at most)\n",
      mib(memory.host_bytes), mib(memory.driver_pool_bytes), mib(info.driver_pool_peak));
  text += fmt::format(
      "device memory  {:8.2f} MiB: weights {:.2f}, KV cache {:.2f}, activations {:.2f}, "
      "I/O {:.2f}\n",
      mib(memory.device_bytes), mib(memory.weight_bytes), mib(memory.kv_bytes),
      mib(memory.activation_bytes), mib(memory.io_bytes));
  text += fmt::format("imported       {:8.2f} MiB of weights read where the model file lies\n",
                      mib(memory.imported_bytes));
  if (memory.image_bytes != 0) {
    text += fmt::format("images         {:8.2f} MiB of the weights\n", mib(memory.image_bytes));
  }
  text += fmt::format("driver host allocations: {} while opening, {} since\n",
                      info.driver_allocations_setup, info.driver_allocations_after);
  return text;
}

}  // namespace nbl::tools
