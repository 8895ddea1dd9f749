// Could break: a step finds something where the messages of its chains will be, left by a prompt
// whose values lie in the same memory or by the step before, and takes it for a message.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "boards/boards.h"
#include "rt/kernels/variants.h"
#include "spirv/chain.push.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"

namespace nbl::test {
namespace {

// Whether there are messages already where a chain, the only one of its step, will write them; then
// there are.
bool finds_messages(const fake::Dispatch& d) {
  const std::span<std::byte> messages = d.bindings[6];
  const bool found = std::ranges::any_of(messages, [](std::byte b) { return b != std::byte{}; });
  std::ranges::fill(messages, std::byte{0x3f});
  return found;
}

TEST(ChainMessages, are_not_there_before_a_step) {
  Caps caps = find_board("h100")->caps;
  caps.cores = 132;
  FakeLife life(caps, fake_model("heads of 64").file);
  uint32_t chains = 0, found = 0, prompts = 0;
  life.vulkan.stand_in([&](const fake::Dispatch& d) {
    run_fake_kernel(d);
    const Variant* const variant = variant_of(d);
    if (variant != nullptr && variant->family == Family::chain) {
      ++chains;
      found += finds_messages(d) ? 1 : 0;
    } else if (chains == 0) {
      ++prompts;
    }
  });
  life.learn();
  life.expect_clean("chains");
  EXPECT_EQ(found, 0u);
  EXPECT_GT(chains, 19u);
  EXPECT_GT(prompts, 10u) << "no prompt has written where messages lie";
}

}  // namespace
}  // namespace nbl::test
