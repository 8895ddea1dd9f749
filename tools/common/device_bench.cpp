#include "tools/common/device_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "rt/plan/place.h"
#include "rt/record/commands.h"
#include "rt/record/pipelines.h"
#include "rt/record/upload.h"
#include "rt/vk/host_memory.h"
#include "rt/vk/result.h"
#include "spirv/step_state.h"
#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

// Behind the step buffer.
constexpr uint64_t kResultsOffset = align_up(uint64_t{STEP_TOKENS} * 4, kDeviceAlignBytes);
constexpr uint32_t kTimeoutMs = 60000;
constexpr size_t kPoolBytes = 16u << 20;

Status create_pipeline(const Device& device, std::span<const uint32_t> words,
                       VkPipelineLayout layout, VkPipeline* pipeline, Error* error) {
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = words.size_bytes();
  module_info.pCode = words.data();
  VkShaderModule module = VK_NULL_HANDLE;
  NBL_VK(device, error, CreateShaderModule, device.device, &module_info, &device.host, &module);
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.layout = layout;
  const VkResult result = device.fn.CreateComputePipelines(device.device, VK_NULL_HANDLE, 1, &info,
                                                           &device.host, pipeline);
  device.fn.DestroyShaderModule(device.device, module, &device.host);
  return check(device, result, "vkCreateComputePipelines", error);
}

}  // namespace

DeviceBench::DeviceBench(nbl_get_instance_proc_addr entry, int32_t device_index, const char* what)
    : what_(what), pool_memory_(kPoolBytes), extensions_(kExtensionScratch) {
  pool_.init(pool_memory_);
  const auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(entry);
  const uint32_t index = device_index < 0 ? 0 : static_cast<uint32_t>(device_index) + 1;
  try {
    need(open_device(get, pool_callbacks(&pool_), index, extensions_, &device_, &error_));
  } catch (...) {
    close();
    throw;
  }
}

std::string DeviceBench::driver() const {
  const Caps& caps = device_.caps;
  if (caps.api_version >= VK_API_VERSION_1_2) {
    VkPhysicalDeviceDriverProperties driver{};
    driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    VkPhysicalDeviceProperties2 properties{};
    properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    properties.pNext = &driver;
    device_.fn.GetPhysicalDeviceProperties2(device_.physical, &properties);
    if (driver.driverName[0] != 0) {
      return fmt::format("{}, {}", driver.driverName, driver.driverInfo);
    }
  }
  return fmt::format("version {:#x}", caps.driver_version);
}

void DeviceBench::need(Status status) const {
  if (status.ok()) return;
  char text[256];
  describe(error_, text, sizeof text);
  throw Failure(fmt::format("{}: {}", what_, text));
}

void DeviceBench::record(const BenchKernel& kernel) {
  make_plan(kernel);
  device_blocks_.resize(blocks_.size());
  pipelines_.resize(1);
  sets_.resize(kernel.passes);
  recording_.blocks = device_blocks_;
  recording_.pipelines = pipelines_;
  recording_.sets = sets_;
  need(make_blocks(Model(), plan_, device_, &recording_, &error_));
  need(make_layouts(plan_, device_, &recording_, &error_));
  if (!kernel.words.empty()) make_pipeline_of(kernel);
  need(make_pipelines(plan_, device_, {}, {}, &recording_, &error_));
  need(make_sets(plan_, device_, &recording_, &error_));
  need(make_commands(plan_, device_, {}, &recording_, &error_));
  need(clear_memory(plan_, device_, kTimeoutMs, &recording_, &error_));
  need(record_commands(plan_, device_, &recording_, &error_));
  need(map_block(device_, &device_blocks_.back(), &error_));
}

void DeviceBench::make_plan(const BenchKernel& kernel) {
  const uint32_t state = kernel.buffers;
  const uint32_t io = state + 1;
  plan_.caps = device_.caps;
  plan_.options.max_burst = 1;
  blocks_.assign(kernel.buffers, {BlockRole::activations, false, false, 0, kernel.buffer_bytes, 0});
  blocks_.push_back({BlockRole::state, false, false, 0, kResultsOffset + kDeviceAlignBytes, 0});
  blocks_.push_back({BlockRole::io, false, false, 0, kResultsOffset + kDeviceAlignBytes, 0});
  plan_.blocks = blocks_;
  plan_.step = {state, 0, STEP_TOKENS * 4};
  plan_.results = {state, kResultsOffset, 4};
  plan_.io_step = {io, 0, STEP_TOKENS * 4};
  plan_.io_results = {io, kResultsOffset, 4};
  need(choose_memory(&plan_, &error_));

  Dispatch dispatch{};
  dispatch.call = kernel.call;
  dispatch.barrier_before = true;
  dispatch.binding_count = static_cast<uint8_t>(1 + kernel.buffers);
  dispatch.bindings[0] = {Operand::step, true, false, 0, state, 0, plan_.step.bytes};
  for (uint32_t i = 0; i < kernel.buffers; ++i) {
    const bool last = i + 1 == kernel.buffers;
    dispatch.bindings[1 + i] = {Operand::value, !last, last, i, i, 0, kernel.buffer_bytes};
  }
  dispatches_.assign(kernel.passes, dispatch);
  plan_.decode.dispatches = dispatches_;
}

// The runtime finds it there and makes none of its own.
void DeviceBench::make_pipeline_of(const BenchKernel& kernel) {
  Pipeline& pipeline = pipelines_[0];
  pipeline = {kernel.call.variant, kernel.call.spec_count, {}, VK_NULL_HANDLE};
  std::copy_n(kernel.call.spec, kMaxSpecConstants, pipeline.spec);
  need(create_pipeline(device_, kernel.words, recording_.layouts[0].pipeline, &pipeline.pipeline,
                       &error_));
  recording_.pipeline_count = 1;
}

double DeviceBench::seconds(std::span<const uint32_t> step) {
  DeviceBlock& io = device_blocks_.back();
  std::memcpy(io.mapped, step.data(), step.size_bytes());
  need(flush_block(device_, io, &error_));
  const VkCommandBuffer buffers[] = {recording_.begin, recording_.decode.run};
  const auto start = std::chrono::steady_clock::now();
  need(submit_and_wait(device_, buffers, recording_.fence, kTimeoutMs, "a pass", &error_));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void DeviceBench::close() {
  destroy_recording(device_, &recording_);
  close_device(&device_);
}

}  // namespace nbl::tools
