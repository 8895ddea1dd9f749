// Could break: a Vulkan call that fails is not looked at, leaks what was made before it, leaves an
// engine that goes on with garbage, or one that cannot be closed and opened again.
#include <gtest/gtest.h>

#include <algorithm>

#include "boards/boards.h"
#include "tests/support/fake_life.h"
#include "tests/support/fake_models.h"
#include "tests/support/figure.h"
#include "tests/support/vulkan_errors.h"

namespace nbl::test {
namespace {

size_t load_nothing(void*, void*, size_t) {
  return 0;
}
void store_nothing(void*, const void*, size_t) {}

// Calls that an engine may work without.
bool is_tolerated(const std::string& call, VkResult result) {
  return call == "vkDeviceWaitIdle" || call == "vkGetPipelineCacheData" || result == VK_INCOMPLETE;
}
// Calls whose failure means "copy instead of importing", whatever the result.
bool is_of_import(const std::string& call) {
  return call == "vkGetMemoryHostPointerPropertiesEXT" || call == "vkCreateBuffer" ||
         call == "vkAllocateMemory" || call == "vkBindBufferMemory";
}

// The status's name that says best what has happened.
std::string name_for(const std::string& call, VkResult result) {
  if (result == VK_ERROR_DEVICE_LOST) return "device_lost";
  if (result == VK_TIMEOUT) return "gpu_timeout";
  if (result == VK_NOT_READY) return "no_timestamps";
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) return "no_vulkan";
  if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY && call == "vkAllocateMemory") {
    return "device_memory_full";
  }
  return "vulkan_call";
}

class Matrix {
 public:
  Matrix(const char* name, const Caps& caps, const FakeModel& model, uint32_t flags)
      : name_(name), life_(caps, model.file, flags) {
    life_.config.cache_load = load_nothing;
    life_.config.cache_store = store_nothing;
  }

  // Every call of a life with every result that Vulkan gives it.
  void run() {
    life_.learn();
    life_.expect_clean(name_);
    const std::vector<const char*> calls = life_.vulkan.calls();
    ASSERT_GT(calls.size(), 100u);
    life_.vulkan.look_for_hazards(false);
    for (size_t k = 1; k <= calls.size(); ++k) {
      for (const VkResult result : errors_of(calls[k - 1]))
        fail_call(k, calls[k - 1], result);
      expect_a_second_life(k);
    }
    figure(name_ + ": " + with_commas(calls.size()) + " calls, " + with_commas(survived_) + " of " +
           with_commas(tried_) + " failures survived");
    EXPECT_EQ(survived_, tried_);
  }

 private:
  void fail_call(size_t k, const std::string& call, VkResult result) {
    const std::string what = name_ + ", call " + std::to_string(k) + ", " + call + " returns " +
                             std::to_string(result) + ", ";
    life_.vulkan.forget();
    life_.vulkan.fail_call(k, result);
    nbl_error error = {};
    const nbl_status status = life_.run(&error);
    const bool imports = (life_.config.flags & NBL_FLAG_NO_IMPORT) == 0 &&
                         life_.memory.imported_bytes != 0 && is_of_import(call);
    const std::string text = sentence(error);
    const std::string name = nbl_status_name(status);
    ++tried_;
    bool good = life_.vulkan.failed() == call;
    good &= life_.vulkan.complaints().empty() && life_.vulkan.alive().empty() &&
            life_.vulkan.device_bytes() == 0;
    if (status == 0) {
      good &= (is_tolerated(call, result) || imports) && life_.tokens == life_.expected;
    } else {
      good &= name == name_for(call, result) && wrote_only_what_is_right();
      const bool names_it = text.find(call) != std::string::npos;
      good &= names_it || name == "device_memory_full" || name == "gpu_timeout" ||
              name == "no_timestamps" || name == "no_vulkan";
    }
    survived_ += good ? 1 : 0;
    EXPECT_TRUE(good) << what << life_.step << ": " << name << ": " << text << "\n"
                      << life_.vulkan.alive() << testing::PrintToString(life_.vulkan.complaints());
  }

  // Tokens are those of a life without faults, as far as they were written at all.
  bool wrote_only_what_is_right() const {
    for (size_t i = 0; i < life_.tokens.size(); ++i) {
      if (life_.tokens[i] != 0xeeeeeeee && life_.tokens[i] != life_.expected[i]) return false;
    }
    return true;
  }

  // In the same arena, where the life before has left its bytes.
  void expect_a_second_life(size_t k) {
    life_.vulkan.forget();
    nbl_error error = {};
    EXPECT_EQ(life_.run(&error), 0u) << k << ": " << sentence(error);
    EXPECT_EQ(life_.tokens, life_.expected) << k;
    EXPECT_EQ(life_.vulkan.complaints(), std::vector<std::string>{}) << k;
  }

  std::string name_;
  FakeLife life_;
  uint32_t tried_ = 0;
  uint32_t survived_ = 0;
};

TEST(FakeFailures, of_every_call_with_every_result_are_survived) {
  Matrix("timed", find_board("rpi5")->caps, fake_model("fused"), NBL_FLAG_TIMESTAMPS).run();
}

TEST(FakeFailures, while_staging_into_images_are_survived) {
  Matrix("images", find_board("adreno-740")->caps, fake_model("int8 caches"), 0).run();
}

TEST(FakeFailures, while_a_prefix_is_copied_are_survived) {
  Matrix("prefix", find_board("mali-g610")->caps, fake_model("prefix"), 0).run();
}

TEST(FakeFailures, of_an_import_end_in_a_copy) {
  Matrix("imported", find_board("intel-n100")->caps, fake_model("fused"), 0).run();
}

TEST(FakeFailures, without_coherent_memory_are_survived) {
  Caps caps = floor_caps();
  caps.api_version = VK_API_VERSION_1_1;
  caps.memory_heap_count = caps.memory_type_count = 1;
  caps.memory_heap_bytes[0] = 64u << 20;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible, 0};
  Matrix("not coherent", caps, fake_model("no chunks"), 0).run();
}

TEST(FakeFailures, of_a_chain_are_survived) {
  Caps caps = find_board("h100")->caps;
  caps.cores = 132;
  Matrix("chains", caps, fake_model("heads of 64"), 0).run();
}

TEST(FakeFailures, of_nbl_memory_needed_leave_nothing) {
  FakeLife life(find_board("adreno-740")->caps, fake_model("fused").file);
  life.learn();
  life.vulkan.forget();
  nbl_error error = {};
  ASSERT_EQ(life.measure(&error), 0u);
  const std::vector<const char*> calls = life.vulkan.calls();
  for (size_t k = 1; k <= calls.size(); ++k) {
    for (const VkResult result : errors_of(calls[k - 1])) {
      life.vulkan.forget();
      life.vulkan.fail_call(k, result);
      const nbl_memory before = life.memory;
      const nbl_status status = life.measure(&error);
      EXPECT_TRUE(status != 0 || is_tolerated(calls[k - 1], result)) << calls[k - 1];
      EXPECT_EQ(std::memcmp(&before, &life.memory, sizeof before), 0) << calls[k - 1];
      life.expect_clean(calls[k - 1]);
    }
  }
}

TEST(FakeFailures, to_find_a_function_name_it) {
  FakeLife life(find_board("rpi5")->caps, fake_model("fused").file);
  life.learn();
  for (const std::string name : kFunctionsNeeded) {
    // Without these, what was made before them cannot be unmade: Vulkan promises them.
    if (name == "vkDestroyInstance" || name == "vkDestroyDevice") continue;
    life.vulkan.forget();
    life.vulkan.hide(name);
    nbl_error error = {};
    EXPECT_STREQ(nbl_status_name(life.run(&error)), "no_vulkan") << name;
    EXPECT_NE(sentence(error).find(name), std::string::npos) << name;
    life.expect_clean(name);
  }
}

}  // namespace
}  // namespace nbl::test
