// record: (Plan, Device) -> Recording. The third of the four stages and the last allocation.
//
// Memory, pipelines, descriptor sets and command buffers are made once; weights are imported or
// copied to where they stay. After it the arena is sealed.
#pragma once

#include <span>

#include "rt/plan.h"
#include "rt/vk/memory.h"
#include "rt/vk/timestamps.h"

namespace nbl {

// What the caller offers for the driver's pipeline cache; both may be null.
struct CacheHooks {
  size_t (*load)(void* user, void* data, size_t size) = nullptr;
  void (*store)(void* user, const void* data, size_t size) = nullptr;
  void* user = nullptr;
};

// A pipeline and what it was made from, so that equal dispatches share it.
struct Pipeline {
  uint16_t variant;
  uint8_t spec_count;
  uint32_t spec[kMaxSpecConstants];
  VkPipeline pipeline;
};

// The layouts of every kernel with so many bindings, of which those in the mask are sampled images.
struct BindingLayout {
  uint8_t bindings;
  uint8_t images;
  VkDescriptorSetLayout set;
  VkPipelineLayout pipeline;
};
// One for each number of bindings, and as many again with images among them.
inline constexpr uint32_t kMaxLayouts = 2 * kMaxBindings;

// One command buffer for a phase, and the two around it in a submit.
struct PhaseCommands {
  VkCommandBuffer run = VK_NULL_HANDLE;  // the dispatches; may be in a submit several times
  VkCommandBuffer end = VK_NULL_HANDLE;  // copies results (and logits) to where the host sees them
  Timestamps timestamps;                 // timestamps_of() its dispatches, where asked for
};

struct Recording {
  std::span<DeviceBlock> blocks;  // as plan.blocks
  std::span<Pipeline> pipelines;
  uint32_t pipeline_count = 0;
  std::span<VkDescriptorSet> sets;  // of decode's dispatches, then prefill's, window's, slide's
  BindingLayout layouts[kMaxLayouts] = {};
  uint32_t layout_count = 0;
  VkDescriptorPool descriptor_pool = VK_NULL_HANDLE;
  VkCommandPool command_pool = VK_NULL_HANDLE;
  VkPipelineCache cache = VK_NULL_HANDLE;  // during record() only
  VkCommandBuffer begin = VK_NULL_HANDLE;  // copies the step buffer to the device
  PhaseCommands decode;
  PhaseCommands prefill;
  PhaseCommands window;  // these two have no `end`
  PhaseCommands slide;
  VkFence fence = VK_NULL_HANDLE;
  std::span<VkCommandBuffer> submit;  // room for begin, max_burst steps, end
  std::span<uint32_t> tokens;         // [context]: the sequence's, by position
  std::span<uint64_t> ticks;          // room for the timestamps of a phase
  DeviceBlock staging;                // during record() only
};

// One when everything before the step has ended, then one before and one after each dispatch.
constexpr uint32_t timestamps_of(uint32_t dispatches) {
  return dispatches == 0 ? 0 : 2 * dispatches + 1;
}

struct RecordOptions {
  bool timestamps = false;                  // the device has them (kTimestamps)
  uint32_t pool_queries = kMaxPoolQueries;  // timestamps in a query pool; at least 1
  CacheHooks cache;
  uint32_t timeout_ms = 60000;
};

// Makes everything. On failure *out holds what was made so far; destroy_recording() is due in any
// case.
//
// Borrows  plan, device and model (its bytes too where weights are imported) until
//          destroy_recording(). Arrays come from `arena`.
// Errors   arena_full, device_memory_full, no_memory_type, vulkan_call, device_lost, gpu_timeout;
//          import_refused where the driver does not take the model's memory: plan again without.
Status record(const Model& model, const Plan& plan, const Device& device,
              const RecordOptions& options, Arena* arena, Recording* out, Error* error);

// The bytes that record() takes from a 64-byte aligned arena.
uint64_t record_host_bytes(const PlanCounts& counts, const PlanOptions& plan,
                           const RecordOptions& options);

void destroy_recording(const Device& device, Recording* recording);

// Submits command buffers and waits for them.
// Errors  gpu_timeout, device_lost, vulkan_call.
Status submit_and_wait(const Device& device, std::span<const VkCommandBuffer> buffers,
                       VkFence fence, uint32_t timeout_ms, const char* what, Error* error);

}  // namespace nbl
