// Could break: a Vulkan call that fails is not looked at, leaks what was made before it, leaves an
// engine that goes on with garbage, or one that cannot be closed and opened again. tests/fake has
// every call with every result; here a sample of them meets a real driver.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/failing_vulkan.h"
#include "tests/support/fault_rig.h"

namespace nbl {
namespace {

using test::FailingVulkan;
using Tokens = std::vector<uint32_t>;

constexpr VkResult kResults[] = {VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_DEVICE_LOST,
                                 VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_INITIALIZATION_FAILED};

constexpr uint64_t kStride = 5;  // coprime to the number of results, so that all of them come

// Keeps the pipeline cache hooks in use; nothing is kept.
size_t load_nothing(void*, void*, size_t) {
  return 0;
}
void store_nothing(void*, const void*, size_t) {}

class VulkanFailure : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    // Imported memory lies on pages.
    const test::AlignedBytes file = test::tiny_model(false);
    model_.resize(file.size + kPage);
    const uintptr_t start = reinterpret_cast<uintptr_t>(model_.data());
    std::byte* page = model_.data() + (-start & (kPage - 1));
    std::memcpy(page, file.span().data(), file.size);
    config_ = test::fault_config(file);
    config_.model = page;
    config_.get_instance_proc_addr = FailingVulkan::over(config_.get_instance_proc_addr);
    config_.driver_pool_bytes = 4u << 20;
  }

  void prepare(uint32_t flags) {
    config_.flags = flags;
    nbl_error error = {};
    ASSERT_EQ(test::give_arena(&config_, &arena_, &memory_, &error), 0u) << test::sentence(error);
    FailingVulkan::fail(0, VK_SUCCESS);
    ASSERT_EQ(run(&expected_, &error), 0u) << test::sentence(error);
    calls_ = FailingVulkan::calls();
    ASSERT_EQ(FailingVulkan::alive(), "");
    ASSERT_GT(calls_, 50u);
  }

  // A whole life of an engine, ended by the first failure.
  nbl_status run(Tokens* tokens, nbl_error* error) {
    nbl_engine* engine = nullptr;
    opened_ = false;
    nbl_status status = nbl_open(&config_, &engine, error);
    if (status == 0) {
      opened_ = true;
      status = test::short_story(engine, tokens, error);
      if (status == 0 && (config_.flags & NBL_FLAG_TIMESTAMPS) != 0) {
        status = read_timings(engine, error);
      }
      if (status != 0) expect_dead(engine);
    }
    nbl_close(engine);
    return status;
  }

  // Of both phases, where there are any.
  static nbl_status read_timings(nbl_engine* engine, nbl_error* error) {
    std::vector<nbl_timing> timings(256);
    uint32_t count = 0;
    for (const int prefill : {0, 1}) {
      const nbl_status status = nbl_timings(engine, prefill, timings.data(), 256, &count, error);
      if (status != 0 && std::strcmp(nbl_status_name(status), "no_timestamps") != 0) return status;
    }
    return 0;
  }

  void expect_dead(nbl_engine* engine) {
    nbl_error error = {};
    const uint32_t token = 1;
    EXPECT_STREQ(nbl_status_name(nbl_evaluate(engine, &token, 1, &error)), "engine_dead");
    EXPECT_NE(test::sentence(error).find(FailingVulkan::failed()), std::string::npos);
  }

  // Without a fault a second life gives the same tokens, in the same arena.
  void expect_a_second_life(uint64_t k) {
    Tokens tokens;
    nbl_error error = {};
    FailingVulkan::fail(0, VK_SUCCESS);
    ASSERT_EQ(run(&tokens, &error), 0u) << k << ": " << test::sentence(error);
    EXPECT_EQ(tokens, expected_) << k;
  }

  // `tolerated` says whether an engine may work without the call.
  template <typename Tolerated>
  void fail_call(uint64_t k, VkResult result, const Tolerated& tolerated) {
    Tokens tokens;
    nbl_error error = {};
    FailingVulkan::fail(k, result);
    const nbl_status status = run(&tokens, &error);
    const std::string failed = FailingVulkan::failed();
    EXPECT_NE(failed, "") << k;
    EXPECT_EQ(FailingVulkan::alive(), "") << k << " " << failed << " " << result;
    if (status == 0) {
      EXPECT_TRUE(tolerated(failed)) << k << " " << failed << " was not noticed";
      EXPECT_EQ(tokens, expected_) << k << " " << failed;
      return;
    }
    const std::string name = nbl_status_name(status);
    const std::string text = test::sentence(error);
    if (name == "device_memory_full") {
      EXPECT_EQ(failed, "vkAllocateMemory");
      EXPECT_EQ(result, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    } else {
      EXPECT_NE(text.find(failed), std::string::npos) << k << " " << failed << ": " << text;
      EXPECT_EQ(name, result == VK_ERROR_DEVICE_LOST ? "device_lost" : "vulkan_call") << text;
    }
  }

  static constexpr size_t kPage = 4096;
  std::vector<std::byte> model_;
  nbl_config config_ = {};
  nbl_memory memory_ = {};
  test::ExactBytes arena_{0};
  Tokens expected_;
  uint64_t calls_ = 0;
  bool opened_ = false;
};

bool only_idle(const std::string& call) {
  return call == "vkDeviceWaitIdle";
}

TEST_F(VulkanFailure, of_a_call_ends_in_its_name_and_leaks_nothing) {
  prepare(NBL_FLAG_NO_IMPORT);
  for (uint64_t k = 1; k <= calls_; k += kStride) {
    fail_call(k, kResults[k % std::size(kResults)], only_idle);
    if (k % 16 == 1) expect_a_second_life(k);
  }
}

TEST_F(VulkanFailure, while_staging_with_timestamps_and_a_cache) {
  config_.cache_load = load_nothing;
  config_.cache_store = store_nothing;
  config_.staging_bytes = 4096;
  prepare(NBL_FLAG_NO_IMPORT | NBL_FLAG_STAGE_WEIGHTS | NBL_FLAG_TIMESTAMPS);
  for (uint64_t k = 1; k <= calls_; k += kStride) {
    fail_call(k, kResults[k % std::size(kResults)], [](const std::string& call) {
      return only_idle(call) || call == "vkGetPipelineCacheData";
    });
  }
  expect_a_second_life(calls_);
}

TEST_F(VulkanFailure, while_trying_out_and_filling_images) {
  config_.staging_bytes = 4096;
  prepare(NBL_FLAG_TEXTURE_WEIGHTS);
  for (uint64_t k = 1; k <= calls_; k += kStride) {
    fail_call(k, kResults[k % std::size(kResults)], only_idle);
  }
  expect_a_second_life(calls_);
}

TEST_F(VulkanFailure, of_an_import_ends_in_a_copy) {
  prepare(0);
  if (memory_.imported_bytes == 0) GTEST_SKIP() << "the device imports nothing";
  for (uint64_t k = 1; k <= calls_; k += k < 24 ? 1 : kStride) {
    fail_call(k, kResults[k % std::size(kResults)], [](const std::string& call) {
      return only_idle(call) || call == "vkGetMemoryHostPointerPropertiesEXT" ||
             call == "vkCreateBuffer" || call == "vkAllocateMemory" || call == "vkBindBufferMemory";
    });
  }
  expect_a_second_life(calls_);
}

TEST_F(VulkanFailure, of_nbl_memory_needed_leaks_nothing_either) {
  prepare(NBL_FLAG_NO_IMPORT);
  nbl_error error = {};
  nbl_memory memory = {};
  const test::ExactBytes probe(size_t{16} << 20);
  nbl_config config = config_;
  config.arena = probe.data.get();
  config.arena_bytes = probe.size;
  for (uint64_t k = 1;; ++k) {
    FailingVulkan::fail(k, VK_ERROR_OUT_OF_HOST_MEMORY);
    const nbl_status status = nbl_memory_needed(&config, &memory, &error);
    EXPECT_EQ(FailingVulkan::alive(), "") << k;
    if (FailingVulkan::failed().empty()) {
      EXPECT_EQ(status, 0u);
      EXPECT_GT(k, 4u);
      break;
    }
    EXPECT_STREQ(nbl_status_name(status), "vulkan_call");
    EXPECT_NE(test::sentence(error).find(FailingVulkan::failed()), std::string::npos);
  }
}

TEST_F(VulkanFailure, to_find_a_function_names_it) {
  prepare(NBL_FLAG_NO_IMPORT);
  const char* const names[] = {
#define NBL_VK_LOADER(name) "vk" #name,
#define NBL_VK_INSTANCE(name) "vk" #name,
#define NBL_VK_DEVICE(name) "vk" #name,
#define NBL_VK_OPTIONAL(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
  };
  for (const std::string name : names) {
    // Without these, what was made before them cannot be unmade: Vulkan promises them.
    if (name == "vkDestroyInstance" || name == "vkDestroyDevice") continue;
    FailingVulkan::hide(name);
    nbl_engine* engine = nullptr;
    nbl_error error = {};
    const nbl_status status = nbl_open(&config_, &engine, &error);
    EXPECT_STREQ(nbl_status_name(status), "no_vulkan") << name;
    EXPECT_NE(test::sentence(error).find(name), std::string::npos);
    EXPECT_EQ(FailingVulkan::alive(), "") << name;
  }
}

}  // namespace
}  // namespace nbl
