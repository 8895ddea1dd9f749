// Could break: a call that a lenient driver forgives, two dispatches that a small GPU would run at
// once although one needs the other, or a device whose limits nobody has at hand.
#include "boards/boards.h"

#include <gtest/gtest.h>

#include "compiler/passes/passes.h"
#include "tests/support/fake_life.h"

namespace nbl::test {
namespace {

struct Device {
  std::string name;
  Caps caps;
};

// The boards, and what none of them is.
std::vector<Device> devices() {
  std::vector<Device> all;
  for (const Board& board : boards())
    all.push_back({board.name, board.caps});
  Caps apart = floor_caps();
  apart.api_version = VK_API_VERSION_1_1;
  apart.memory_heap_count = 2;
  apart.memory_heap_bytes[0] = 64u << 20;
  apart.memory_heap_bytes[1] = 16u << 20;
  apart.memory_type_count = 3;
  apart.memory_types[0] = {kDeviceLocal, 0};
  apart.memory_types[1] = {kHostVisible, 1};
  apart.memory_types[2] = {kHostVisible | kHostCached, 1};
  all.push_back({"separate heaps, not coherent", apart});
  Caps chains = *find_board("h100");
  chains.cores = 132;
  all.push_back({"work-groups side by side", chains});
  Caps matrices = chains;
  matrices.features |= kCooperativeMatrix;
  all.push_back({"cooperative matrices", matrices});
  return all;
}

struct Made {
  const char* name;
  AlignedBytes file;
};

const std::vector<Made>& models() {
  const LlamaSpec tiny{.dim = 64,
                       .layers = 2,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_dim = 16,
                       .ffn = 96,
                       .vocab = 400,
                       .context = 64};
  LlamaSpec wide = tiny;
  wide.head_dim = 64;
  wide.heads = 2;
  wide.kv_heads = 1;
  const auto make = [](const LlamaSpec& spec, const BuildOptions& options) {
    return build_model(small_llama(spec), options);
  };
  static const std::vector<Made> all = [&] {
    BuildOptions plain;
    plain.passes.fuse = false;
    BuildOptions int8;
    int8.passes.activations = compiler::Activations::int8;
    std::vector<Made> files;
    files.push_back({"fused", make(tiny, {})});
    files.push_back({"unfused", make(tiny, plain)});
    files.push_back({"int8 activations", make(tiny, int8)});
    files.push_back({"int8 caches", make(tiny, {.cache = DType::i8})});
    files.push_back({"f32 caches", make(tiny, {.cache = DType::f32})});
    files.push_back({"chunks of 40", make(tiny, {.prefill_chunk = 40})});
    files.push_back({"no chunks", make(tiny, {.prefill_chunk = 1})});
    files.push_back({"heads of 64", make(wide, {.prefill_chunk = 16})});
    return files;
  }();
  return all;
}

TEST(FakeBoards, find_no_misuse_no_hazard_and_nothing_left) {
  constexpr uint32_t kFlags[] = {0, NBL_FLAG_FLOOR_KERNELS | NBL_FLAG_TIMESTAMPS,
                                 NBL_FLAG_STAGE_WEIGHTS | NBL_FLAG_GPU_KERNELS,
                                 NBL_FLAG_TEXTURE_WEIGHTS, NBL_FLAG_CHAIN | NBL_FLAG_TIMESTAMPS};
  uint32_t lives = 0;
  for (const Device& device : devices()) {
    for (const Made& model : models()) {
      for (const uint32_t flags : kFlags) {
        const std::string what =
            device.name + ", " + model.name + ", flags " + std::to_string(flags);
        FakeLife life(device.caps, model.file, flags);
        life.learn();
        life.expect_clean(what);
        ++lives;
        if (testing::Test::HasFailure()) return;
      }
    }
  }
  std::printf("%u lives without a complaint\n", lives);
}

}  // namespace
}  // namespace nbl::test
