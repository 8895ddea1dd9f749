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

// What the arrays of a recording are sized by.
struct Sizes {
  uint32_t blocks;
  uint32_t dispatches[kPhaseCount];  // decode, prefill, window, slide
  uint32_t max_burst;
  uint32_t context;
};

bool wants_cache(const CacheHooks& hooks) {
  return hooks.load != nullptr || hooks.store != nullptr;
}

Status take_storage(const Sizes& sizes, const RecordOptions& options, Storage* storage,
                    Recording* out, std::span<std::byte>* blob, Error* error) {
  uint32_t dispatches = 0;
  for (const uint32_t count : sizes.dispatches)
    dispatches += count;
  NBL_TRY(storage->persistent(sizes.blocks, &out->blocks, error));
  NBL_TRY(storage->persistent(dispatches, &out->pipelines, error));
  NBL_TRY(storage->persistent(dispatches, &out->sets, error));
  NBL_TRY(storage->persistent(uint64_t{sizes.max_burst} + 2, &out->submit, error));
  NBL_TRY(storage->persistent(sizes.context, &out->tokens, error));
  if (options.timestamps) {
    const uint32_t most = max_of(sizes.dispatches[0], sizes.dispatches[1]);
    NBL_TRY(storage->persistent(timestamps_of(most), &out->ticks, error));
    Timestamps* const stamps[2] = {&out->decode.timestamps, &out->prefill.timestamps};
    for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t pools = div_up(timestamps_of(sizes.dispatches[i]), options.pool_queries);
      NBL_TRY(storage->persistent(pools, &stamps[i]->pools, error));
    }
  }
  return storage->setup(wants_cache(options.cache) ? kCacheBlobBytes : 0, blob, error);
}

}  // namespace

Status record(const Model& model, const Plan& plan, const Device& device,
              const RecordOptions& options, Arena* arena, Recording* out, Error* error) {
  const Sizes sizes{static_cast<uint32_t>(plan.blocks.size()),
                    {plan.decode.most_dispatches, plan.prefill.most_dispatches,
                     plan.window.most_dispatches, plan.slide.most_dispatches},
                    plan.options.max_burst,
                    plan.options.context};
  Storage storage(arena);
  std::span<std::byte> blob;
  NBL_TRY(take_storage(sizes, options, &storage, out, &blob, error));
  NBL_TRY(make_blocks(model, plan, device, out, error));
  NBL_TRY(make_layouts(plan, device, out, error));
  NBL_TRY(make_pipelines(plan, device, options.cache, blob, out, error));
  NBL_TRY(make_sets(plan, device, out, error));
  NBL_TRY(make_commands(plan, device, options, out, error));
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

uint64_t record_host_bytes(const PlanCounts& counts, const PlanOptions& plan,
                           const RecordOptions& options) {
  const uint32_t(&d)[kPhaseCount] = counts.dispatches;
  const Sizes sizes{counts.blocks, {d[0], d[1], d[2], d[3]}, plan.max_burst, plan.context};
  Storage storage(nullptr);
  Recording none;
  std::span<std::byte> blob;
  (void)take_storage(sizes, options, &storage, &none, &blob, nullptr);
  return storage.bytes();
}

void destroy_recording(const Device& device, Recording* r) {
  const auto& fn = device.fn;
  const VkDevice d = device.device;
  if (d == VK_NULL_HANDLE || fn.DestroyDevice == nullptr) return;
  if (r->command_pool != VK_NULL_HANDLE) (void)fn.DeviceWaitIdle(d);
  destroy_timestamps(device, &r->decode.timestamps);
  destroy_timestamps(device, &r->prefill.timestamps);
  if (r->fence != VK_NULL_HANDLE) fn.DestroyFence(d, r->fence, &device.host);
  if (r->command_pool != VK_NULL_HANDLE) fn.DestroyCommandPool(d, r->command_pool, &device.host);
  if (r->descriptor_pool != VK_NULL_HANDLE) {
    fn.DestroyDescriptorPool(d, r->descriptor_pool, &device.host);
  }
  for (uint32_t i = 0; i < r->pipeline_count; ++i) {
    fn.DestroyPipeline(d, r->pipelines[i].pipeline, &device.host);
  }
  if (r->cache != VK_NULL_HANDLE) fn.DestroyPipelineCache(d, r->cache, &device.host);
  for (const BindingLayout& layout : r->layouts) {
    if (layout.pipeline != VK_NULL_HANDLE) {
      fn.DestroyPipelineLayout(d, layout.pipeline, &device.host);
    }
    if (layout.set != VK_NULL_HANDLE) {
      fn.DestroyDescriptorSetLayout(d, layout.set, &device.host);
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
