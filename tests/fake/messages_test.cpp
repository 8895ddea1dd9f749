// Could break: a chain finds something where its messages will be, left by a prompt whose values
// lie in the same memory or by the step before, and takes it for a message.
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

// Does with its messages what chain.comp does, and tells whether there were any already.
bool finds_messages(const fake::Dispatch& d) {
  ChainPush push;
  std::memcpy(&push, d.push.data(), sizeof push);
  std::byte* const serial_at = d.bindings[5].data() + 4 * (push.sync + CHAIN_SERIAL);
  uint32_t serial = 0;
  std::memcpy(&serial, serial_at, sizeof serial);
  const size_t copy_bytes = size_t{16} * push.quads;
  std::byte* const copies = d.bindings[6].data() + size_t{16} * push.messages;
  std::byte* const here = copies + serial % CHAIN_COPIES * copy_bytes;
  std::byte* const other = copies + (serial + 1) % CHAIN_COPIES * copy_bytes;
  const bool found =
      std::any_of(here, here + copy_bytes, [](std::byte b) { return b != std::byte{}; });
  std::memset(here, 0x3f, copy_bytes);
  std::memset(other, 0, copy_bytes);
  serial += push.last;
  std::memcpy(serial_at, &serial, sizeof serial);
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
