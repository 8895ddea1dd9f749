// Could break: a barrier that costs time and orders nothing, or a checker of hazards that would not
// see one that is missing.
#include <gtest/gtest.h>

#include "boards/boards.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"
#include "tests/support/figure.h"

namespace nbl::test {
namespace {

struct Count {
  uint32_t left_out = 0;
  uint32_t missed = 0;
};

// Each barrier of a life left out in its turn.
void expect_every_barrier_is_needed(const FakeModel& model, const char* board, uint32_t flags,
                                    Count* count) {
  const std::string what = std::string(board) + ", " + model.name;
  FakeLife life(find_board(board)->caps, model.file, flags);
  life.learn();
  life.expect_clean(what);
  const uint32_t barriers = life.vulkan.barriers();
  ASSERT_GT(barriers, 10u);
  for (uint32_t n = 1; n <= barriers; ++n) {
    life.vulkan.forget();
    life.vulkan.drop_barrier(n);
    nbl_error error = {};
    EXPECT_EQ(life.run(&error), 0u) << sentence(error);
    const bool missed = !life.vulkan.complaints().empty();
    EXPECT_TRUE(missed) << what << ": barrier " << n << " of " << barriers << " orders nothing";
    ++count->left_out;
    count->missed += missed ? 1 : 0;
  }
}

TEST(Barriers, are_each_needed) {
  Count count;
  for (const FakeModel& model : fake_models()) {
    expect_every_barrier_is_needed(model, "rpi5", 0, &count);
    expect_every_barrier_is_needed(model, "adreno-740", NBL_FLAG_TIMESTAMPS, &count);
  }
  expect_every_barrier_is_needed(fake_models()[0], "floor", NBL_FLAG_STAGE_WEIGHTS, &count);
  expect_every_barrier_is_needed(fake_model("heads of 64"), "h100", NBL_FLAG_CHAIN, &count);
  figure("barriers left out one by one: " + with_commas(count.missed) + " of " +
         with_commas(count.left_out) + " missed");
}

}  // namespace
}  // namespace nbl::test
