// Could break: a call that a lenient driver forgives, two dispatches that a small GPU would run at
// once although one needs the other, or a device whose limits nobody has at hand.
#include "boards/boards.h"

#include <gtest/gtest.h>

#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"

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

TEST(FakeBoards, find_no_misuse_no_hazard_and_nothing_left) {
  constexpr uint32_t kFlags[] = {0, NBL_FLAG_FLOOR_KERNELS | NBL_FLAG_TIMESTAMPS,
                                 NBL_FLAG_STAGE_WEIGHTS | NBL_FLAG_GPU_KERNELS,
                                 NBL_FLAG_TEXTURE_WEIGHTS, NBL_FLAG_CHAIN | NBL_FLAG_TIMESTAMPS};
  uint32_t lives = 0;
  for (const Device& device : devices()) {
    for (const FakeModel& model : fake_models()) {
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
