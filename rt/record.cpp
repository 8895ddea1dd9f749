#include "rt/record.h"

#include "rt/plan/storage.h"
#include "rt/record/commands.h"
#include "rt/record/pipelines.h"
#include "rt/record/upload.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

// Room for the driver's pipeline cache on its way through the hooks.
constexpr uint64_t kCacheBlobBytes = 1u << 20;

Status take_storage(uint32_t dispatches, uint32_t blocks, uint32_t max_burst, bool cache,
                    Storage* storage, Recording* out, std::span<std::byte>* blob, Error* error) {
  NBL_TRY(storage->persistent(blocks, &out->blocks, error));
  NBL_TRY(storage->persistent(dispatches, &out->pipelines, error));
  NBL_TRY(storage->persistent(dispatches, &out->sets, error));
  NBL_TRY(storage->persistent(uint64_t{max_burst} + 2, &out->submit, error));
  return storage->setup(cache ? kCacheBlobBytes : 0, blob, error);
}

bool wants_cache(const CacheHooks& hooks) {
  return hooks.load != nullptr || hooks.store != nullptr;
}

void destroy_phase(const Device& device, PhaseCommands* phase) {
  if (phase->queries != VK_NULL_HANDLE) {
    device.fn.DestroyQueryPool(device.device, phase->queries, &device.host);
  }
}

}  // namespace

Status record(const Model& model, const Plan& plan, const Device& device,
              const RecordOptions& options, Arena* arena, Recording* out, Error* error) {
  const uint32_t dispatches =
      static_cast<uint32_t>(plan.decode.dispatches.size() + plan.prefill.dispatches.size());
  Storage storage(arena);
  std::span<std::byte> blob;
  NBL_TRY(take_storage(dispatches, static_cast<uint32_t>(plan.blocks.size()),
                       plan.options.max_burst, wants_cache(options.cache), &storage, out, &blob,
                       error));
  const bool timestamps = options.timestamps && (plan.caps.features & kTimestamps) != 0;
  NBL_TRY(make_blocks(model, plan, device, out, error));
  NBL_TRY(make_layouts(plan, device, out, error));
  NBL_TRY(make_pipelines(plan, device, options.cache, blob, out, error));
  NBL_TRY(make_sets(plan, device, out, error));
  NBL_TRY(make_commands(plan, device, timestamps, out, error));
  NBL_TRY(upload_weights(model, plan, device, options.timeout_ms, out, error));
  NBL_TRY(clear_memory(plan, device, options.timeout_ms, out, error));
  NBL_TRY(record_commands(plan, device, out, error));
  device.fn.DestroyPipelineCache(device.device, out->cache, &device.host);
  out->cache = VK_NULL_HANDLE;
  for (uint32_t i = 0; i < plan.blocks.size(); ++i) {
    if (plan.blocks[i].role == BlockRole::io) NBL_TRY(map_block(device, &out->blocks[i], error));
  }
  return {};
}

uint64_t record_host_bytes(const PlanCounts& counts, const PlanOptions& options, bool cache) {
  Storage storage(nullptr);
  Recording none;
  std::span<std::byte> blob;
  (void)take_storage(counts.dispatches[0] + counts.dispatches[1], counts.blocks, options.max_burst,
                     cache, &storage, &none, &blob, nullptr);
  return storage.bytes();
}

void destroy_recording(const Device& device, Recording* r) {
  const auto& fn = device.fn;
  const VkDevice d = device.device;
  if (d == VK_NULL_HANDLE || fn.DestroyDevice == nullptr) return;
  if (r->command_pool != VK_NULL_HANDLE) (void)fn.DeviceWaitIdle(d);
  destroy_phase(device, &r->decode);
  destroy_phase(device, &r->prefill);
  if (r->fence != VK_NULL_HANDLE) fn.DestroyFence(d, r->fence, &device.host);
  if (r->command_pool != VK_NULL_HANDLE) fn.DestroyCommandPool(d, r->command_pool, &device.host);
  if (r->descriptor_pool != VK_NULL_HANDLE) {
    fn.DestroyDescriptorPool(d, r->descriptor_pool, &device.host);
  }
  for (uint32_t i = 0; i < r->pipeline_count; ++i) {
    fn.DestroyPipeline(d, r->pipelines[i].pipeline, &device.host);
  }
  if (r->cache != VK_NULL_HANDLE) fn.DestroyPipelineCache(d, r->cache, &device.host);
  for (uint32_t i = 0; i <= kMaxBindings; ++i) {
    if (r->layouts[i] != VK_NULL_HANDLE) fn.DestroyPipelineLayout(d, r->layouts[i], &device.host);
    if (r->set_layouts[i] != VK_NULL_HANDLE) {
      fn.DestroyDescriptorSetLayout(d, r->set_layouts[i], &device.host);
    }
  }
  free_block(device, &r->staging);
  for (DeviceBlock& block : r->blocks)
    free_block(device, &block);
  *r = {};
}

Status submit_and_wait(const Device& device, std::span<const VkCommandBuffer> buffers,
                       VkFence fence, uint32_t timeout_ms, const char* what, Error* error) {
  VkSubmitInfo submit{};
  submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  submit.commandBufferCount = static_cast<uint32_t>(buffers.size());
  submit.pCommandBuffers = buffers.data();
  NBL_VK(device, error, QueueSubmit, device.queue, 1, &submit, fence);
  const VkResult result =
      device.fn.WaitForFences(device.device, 1, &fence, VK_TRUE, uint64_t{timeout_ms} * 1000000);
  if (result == VK_TIMEOUT) return fail(error, Code::gpu_timeout, 0, what, 0, timeout_ms);
  NBL_TRY(check(device, result, "vkWaitForFences", error));
  NBL_VK(device, error, ResetFences, device.device, 1, &fence);
  return {};
}

}  // namespace nbl
