// Could break: any call or barrier of the runtime that the Vulkan specification forbids and this
// machine's driver forgives; any access of a kernel outside of what is bound. Engines run in child
// processes under the Khronos validation layer, with its checks of synchronisation or those of
// accesses (GPU-assisted); whatever it says fails the test.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "rt/vk/functions.h"
#include "tests/support/fault_rig.h"
#include "tests/support/own_buffers.h"
#include "tests/support/process.h"
#include "tests/support/sampling_options.h"
#include "tests/support/stories.h"

namespace nbl {
namespace {

using test::ProcessResult;
using test::TempFile;

constexpr const char* kChild = "NIBBLE_VALIDATION_CHILD";    // flags of the engine that it opens
constexpr const char* kChange = "NIBBLE_VALIDATION_CHANGE";  // of the Vulkan that it gets

constexpr const char* kSynchronisation =
    "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT,"
    "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT";
constexpr const char* kAccesses = "VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT";

// A folder with the layer's settings and its log.
class Layer {
 public:
  explicit Layer(const char* checks = kSynchronisation) {
    std::filesystem::remove(folder_.path());
    std::filesystem::create_directory(folder_.path());
    std::ofstream(folder_.path() / "vk_layer_settings.txt")
        << "khronos_validation.enables = " << checks << "\n"
        << "khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n"
        << "khronos_validation.report_flags = error,warn\n"
        << "khronos_validation.enable_message_limit = false\n"
        << "khronos_validation.log_filename = " << log().string() << "\n";
  }
  ~Layer() { std::filesystem::remove_all(folder_.path()); }

  std::vector<std::string> environment() const {
    return {"VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation",
            "VK_LAYER_SETTINGS_PATH=" + folder_.path().string(), "VK_LOADER_DEBUG=none"};
  }
  // All that it said.
  std::string said() const {
    std::ifstream file(log(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }

 private:
  std::filesystem::path log() const { return folder_.path() / "log.txt"; }
  TempFile folder_{"", ".layer"};
};

bool layer_is_there() {
  const auto enumerate = reinterpret_cast<PFN_vkEnumerateInstanceLayerProperties>(
      test::vulkan_entry()(nullptr, "vkEnumerateInstanceLayerProperties"));
  uint32_t count = 0;
  enumerate(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  enumerate(&count, layers.data());
  for (const VkLayerProperties& layer : layers) {
    if (std::strcmp(layer.layerName, "VK_LAYER_KHRONOS_validation") == 0) return true;
  }
  return false;
}

#define NBL_REQUIRE_LAYER() \
  NBL_REQUIRE_VULKAN();     \
  if (!layer_is_there()) GTEST_SKIP() << "there is no VK_LAYER_KHRONOS_validation"

// The entry whose devices have no barriers.
PFN_vkGetDeviceProcAddr real_device_proc_addr;
VKAPI_ATTR void VKAPI_CALL no_barrier(VkCommandBuffer, VkPipelineStageFlags, VkPipelineStageFlags,
                                      VkDependencyFlags, uint32_t, const VkMemoryBarrier*, uint32_t,
                                      const VkBufferMemoryBarrier*, uint32_t,
                                      const VkImageMemoryBarrier*) {}
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char* name) {
  if (std::strcmp(name, "vkCmdPipelineBarrier") == 0) {
    return reinterpret_cast<PFN_vkVoidFunction>(&no_barrier);
  }
  return real_device_proc_addr(device, name);
}
nbl_void_fn instance_function(void* instance, const char* name) {
  const nbl_void_fn real = test::vulkan_entry()(instance, name);
  if (std::strcmp(name, "vkGetDeviceProcAddr") != 0) return real;
  real_device_proc_addr = reinterpret_cast<PFN_vkGetDeviceProcAddr>(real);
  return reinterpret_cast<nbl_void_fn>(&device_function);
}

TEST(ValidationChild, runs_an_engine) {
  const char* flags = std::getenv(kChild);
  if (flags == nullptr) GTEST_SKIP() << "started by the other tests";
  const test::AlignedBytes file = test::tiny_model(false);
  test::AlignedBlock model(file.size, 4096);  // so that it can be imported
  std::memcpy(model.data(), file.span().data(), file.size);
  nbl_config config = test::fault_config(file);
  config.model = model.data();
  config.flags = static_cast<uint32_t>(std::strtoul(flags, nullptr, 10));
  config.logits = NBL_LOGITS_ALL;
  config.staging_bytes = 64u << 10;
  config.driver_pool_bytes = 64u << 20;  // the layer's tables are the driver's, too
  const char* const set = std::getenv(kChange);
  const std::string change = set == nullptr ? "" : set;
  if (change == "no barriers") config.get_instance_proc_addr = &instance_function;
  if (change == "own buffers") config.get_instance_proc_addr = test::own_buffers_entry(false);
  if (change == "short buffers") config.get_instance_proc_addr = test::own_buffers_entry(true);
  // nbl_memory_needed() under the layer takes more than a bare driver.
  const test::ExactBytes arena(size_t{160} << 20);
  config.arena = arena.data.get();
  config.arena_bytes = arena.size;
  nbl_error error = {};
  nbl_memory memory = {};
  ASSERT_EQ(nbl_memory_needed(&config, &memory, &error), 0u) << test::sentence(error);
  nbl_engine* engine = nullptr;
  ASSERT_EQ(nbl_open(&config, &engine, &error), 0u) << test::sentence(error);
  for (const float temperature : {0.0f, 0.9f}) {
    const nbl_sampling sampling = test::SamplingOptions{.temperature = temperature,
                                                        .top_k = 40,
                                                        .top_p = 0.9f,
                                                        .seed = 1,
                                                        .min_p = 0.01f,
                                                        .repeat_penalty = 1.1f};
    const nbl_logit_bias bias = {3, -1};
    ASSERT_EQ(nbl_set_sampling(engine, &sampling, &error), 0u);
    ASSERT_EQ(nbl_set_logit_bias(engine, &bias, 1, &error), 0u);
    std::vector<uint32_t> tokens;
    ASSERT_EQ(test::short_story(engine, &tokens, &error), 0u) << test::sentence(error);
    if ((config.flags & NBL_FLAG_TIMESTAMPS) == 0) continue;
    std::vector<nbl_timing> timings(256);
    uint32_t count = 0;
    for (const int prefill : {0, 1}) {
      ASSERT_EQ(nbl_timings(engine, prefill, timings.data(), 256, &count, &error), 0u)
          << test::sentence(error);
    }
  }
  nbl_close(engine);
}

ProcessResult run_child(const Layer& layer, uint32_t flags, const std::string& change = "") {
  std::vector<std::string> environment = layer.environment();
  environment.push_back(std::string(kChild) + "=" + std::to_string(flags));
  environment.push_back(std::string(kChange) + "=" + change);
  return test::run_process({"/proc/self/exe", "--gtest_filter=ValidationChild.*"}, environment);
}

void expect_silence(uint32_t flags) {
  const Layer layer;
  const ProcessResult result = run_child(layer, flags);
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_EQ(layer.said(), "");
}

TEST(Validation, speaks_when_barriers_are_missing) {
  NBL_REQUIRE_LAYER();
  const Layer layer;
  run_child(layer, NBL_FLAG_NO_IMPORT, "no barriers");
  EXPECT_NE(layer.said().find("SYNC-HAZARD"), std::string::npos) << layer.said();
}

TEST(Validation, is_silent_by_default) {
  NBL_REQUIRE_LAYER();
  expect_silence(0);
}

TEST(Validation, is_silent_with_floor_kernels) {
  NBL_REQUIRE_LAYER();
  expect_silence(NBL_FLAG_FLOOR_KERNELS);
}

TEST(Validation, is_silent_without_import) {
  NBL_REQUIRE_LAYER();
  expect_silence(NBL_FLAG_NO_IMPORT);
}

TEST(Validation, is_silent_while_staging) {
  NBL_REQUIRE_LAYER();
  expect_silence(NBL_FLAG_NO_IMPORT | NBL_FLAG_STAGE_WEIGHTS);
}

TEST(Validation, is_silent_with_weights_in_images) {
  NBL_REQUIRE_LAYER();
  expect_silence(NBL_FLAG_TEXTURE_WEIGHTS);
  expect_silence(NBL_FLAG_TEXTURE_WEIGHTS | NBL_FLAG_GPU_KERNELS | NBL_FLAG_STAGE_WEIGHTS);
}

TEST(Validation, is_silent_with_timestamps) {
  NBL_REQUIRE_LAYER();
  expect_silence(NBL_FLAG_TIMESTAMPS);
}

// Buffers of their own are no memory that is imported.
TEST(Validation, finds_no_access_outside_of_what_is_bound) {
  NBL_REQUIRE_LAYER();
  const Layer layer(kAccesses);
  const ProcessResult result =
      run_child(layer, NBL_FLAG_FLOOR_KERNELS | NBL_FLAG_NO_IMPORT, "own buffers");
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_EQ(layer.said(), "");
}

TEST(Validation, finds_accesses_outside_of_what_is_bound) {
  NBL_REQUIRE_LAYER();
  const Layer layer(kAccesses);
  run_child(layer, NBL_FLAG_FLOOR_KERNELS | NBL_FLAG_NO_IMPORT, "short buffers");
  EXPECT_NE(layer.said().find("access out of bounds"), std::string::npos) << layer.said();
}

TEST(Validation, is_silent_while_nibble_run_tells_a_story) {
  NBL_REQUIRE_LAYER();
  NBL_REQUIRE_STORIES();
  const auto bytes = test::stories_file().span();
  const TempFile model({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, ".nbl");
  for (const std::string option :
       {"--no-echo", "--floor", "--no-import", "--weights=texture", "--repeat-penalty=1.2"}) {
    const Layer layer;
    const ProcessResult result = test::run_process({NIBBLE_RUN, "-m", model.path().string(), "-q",
                                                    "-p", "Once upon a time", "-n", "24", option},
                                                   layer.environment());
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(layer.said(), "") << option;
  }
}

}  // namespace
}  // namespace nbl
