// Could break: a pipeline cache of another device, driver or length that reaches the driver, which
// may crash on it; or one of this very device that does not, so that every start is a cold one.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "boards/boards.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"

namespace nbl::test {
namespace {

using Blob = std::vector<std::byte>;

size_t load(void* user, void* data, size_t size) {
  const Blob& blob = *static_cast<const Blob*>(user);
  if (blob.empty() || blob.size() > size) return 0;
  std::memcpy(data, blob.data(), blob.size());
  return blob.size();
}

void store(void* user, const void* data, size_t size) {
  const auto* const bytes = static_cast<const std::byte*>(data);
  static_cast<Blob*>(user)->assign(bytes, bytes + size);
}

// More than it had room for.
size_t load_too_much(void*, void*, size_t size) {
  return size + 1;
}

class PipelineCache : public testing::Test {
 protected:
  PipelineCache() : life_(find_board("rk3588")->caps, fake_models()[0].file) {
    life_.config.cache_load = load;
    life_.config.cache_store = store;
    life_.config.user = &blob_;
    life_.learn();
    good_ = blob_;
  }

  // Of the blob, what a life hands to the driver.
  uint64_t bytes_that_arrive() {
    life_.vulkan.forget();
    nbl_error error = {};
    EXPECT_EQ(life_.run(&error), 0u) << sentence(error);
    EXPECT_EQ(life_.tokens, life_.expected);
    life_.expect_clean("a pipeline cache");
    return life_.vulkan.cache_bytes();
  }

  Blob blob_, good_;
  FakeLife life_;
};

TEST_F(PipelineCache, of_this_device_reaches_the_driver) {
  ASSERT_EQ(good_.size(), 32u) << "a header, and no pipelines in it";
  EXPECT_EQ(bytes_that_arrive(), good_.size());
  blob_ = good_;
  blob_.resize(1000);
  EXPECT_EQ(bytes_that_arrive(), 1000u);
}

TEST_F(PipelineCache, of_anything_else_is_left_out_and_replaced) {
  const auto flipped = [this](size_t at) {
    Blob blob = good_;
    blob.at(at) ^= std::byte{1};
    return blob;
  };
  const auto cut = [this](size_t bytes) { return Blob(good_.begin(), good_.begin() + bytes); };
  const std::pair<const char*, Blob> cases[] = {{"another header length", flipped(0)},
                                                {"a header length past the blob", flipped(3)},
                                                {"another header version", flipped(4)},
                                                {"another vendor", flipped(8)},
                                                {"another device", flipped(12)},
                                                {"another driver, first byte", flipped(16)},
                                                {"another driver, last byte", flipped(31)},
                                                {"a header without its last byte", cut(31)},
                                                {"a length alone", cut(4)},
                                                {"noise", Blob(5000, std::byte{0x5a})},
                                                {"zeros", Blob(64)},
                                                {"nothing", Blob()}};
  for (const auto& [what, blob] : cases) {
    blob_ = blob;
    EXPECT_EQ(bytes_that_arrive(), 0u) << what;
    EXPECT_EQ(blob_, good_) << what << ": the next start is a quick one again";
  }
}

TEST_F(PipelineCache, that_says_it_is_longer_than_its_room_is_left_out) {
  life_.config.cache_load = load_too_much;
  EXPECT_EQ(bytes_that_arrive(), 0u);
}

}  // namespace
}  // namespace nbl::test
