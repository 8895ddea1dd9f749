// Could break: memory that is not coherent, where what the host writes reaches the device only by a
// flush and what the device writes reaches the host only by an invalidation.
#include <gtest/gtest.h>

#include "boards/boards.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"
#include "tests/support/figure.h"

namespace nbl::test {
namespace {

Caps one_heap(uint32_t flags, uint32_t atom_bytes) {
  Caps caps = find_board("floor")->caps;
  caps.memory_types[0].flags = flags;
  caps.noncoherent_atom_bytes = atom_bytes;
  return caps;
}

constexpr uint32_t kPlain = kDeviceLocal | kHostVisible;

TEST(Views, give_the_tokens_of_coherent_memory) {
  for (const FakeModel& model : fake_models()) {
    for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_STAGE_WEIGHTS}}) {
      FakeLife coherent(one_heap(kPlain | kHostCoherent, 256), model.file, flags);
      coherent.learn();
      EXPECT_EQ(coherent.vulkan.flushes(), 0u);
      for (const uint32_t atom : {1u, 64u, 256u}) {
        FakeLife life(one_heap(kPlain, atom), model.file, flags);
        life.learn();
        life.expect_clean(model.name);
        EXPECT_EQ(life.tokens, coherent.tokens) << model.name << ", atoms of " << atom;
        EXPECT_GT(life.vulkan.flushes(), 10u);
      }
    }
  }
}

// Each of them is left out in its turn: the fake says so, or the tokens are others.
TEST(Views, need_every_flush_and_every_invalidation) {
  FakeLife life(one_heap(kPlain, 256), fake_model("fused").file, NBL_FLAG_STAGE_WEIGHTS);
  life.learn();
  life.expect_clean("nothing left out");
  const uint32_t flushes = life.vulkan.flushes();
  uint32_t missed = 0;
  for (uint32_t n = 1; n <= flushes; ++n) {
    life.vulkan.forget();
    life.vulkan.drop_flush(n);
    nbl_error error = {};
    const bool failed = life.run(&error) != 0;
    const bool seen = failed || !life.vulkan.complaints().empty() || life.tokens != life.expected;
    missed += seen ? 1 : 0;
    EXPECT_TRUE(seen) << n << " of " << flushes;
  }
  figure("flushes and invalidations left out one by one: " + with_commas(missed) + " of " +
         with_commas(flushes) + " missed");
}

}  // namespace
}  // namespace nbl::test
