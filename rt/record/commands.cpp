#include "rt/record/commands.h"

#include "rt/kernels/variants.h"
#include "rt/record/pipelines.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

constexpr uint32_t kPushBytes = kMaxPushWords * 4;

Status make_buffer(const Device& device, VkCommandPool pool, VkCommandBuffer* out, Error* error) {
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  NBL_VK(device, error, AllocateCommandBuffers, device.device, &info, out);
  return {};
}

Status make_phase(const Phase& phase, const Device& device, const RecordOptions& options,
                  VkCommandPool pool, PhaseCommands* out, Error* error) {
  NBL_TRY(make_buffer(device, pool, &out->run, error));
  NBL_TRY(make_buffer(device, pool, &out->end, error));
  if (!options.timestamps) return {};
  return make_timestamps(device, out->timestamps.pools, options.pool_queries,
                         timestamps_of(static_cast<uint32_t>(phase.dispatches.size())),
                         &out->timestamps, error);
}

Status begin_recording(const Device& device, VkCommandBuffer commands,
                       VkCommandBufferUsageFlags usage, Error* error) {
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  info.flags = usage;
  NBL_VK(device, error, BeginCommandBuffer, commands, &info);
  return {};
}

void barrier(const Device& device, VkCommandBuffer commands, VkPipelineStageFlags from,
             VkAccessFlags wrote, VkPipelineStageFlags to, VkAccessFlags touches) {
  VkMemoryBarrier memory{};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  memory.srcAccessMask = wrote;
  memory.dstAccessMask = touches;
  device.fn.CmdPipelineBarrier(commands, from, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
}

void copy(const Device& device, VkCommandBuffer commands, const Recording& recording,
          const Region& from, const Region& to, uint64_t bytes) {
  const VkBufferCopy region{from.offset, to.offset, bytes};
  device.fn.CmdCopyBuffer(commands, recording.blocks[from.block].buffer,
                          recording.blocks[to.block].buffer, 1, &region);
}

constexpr VkAccessFlags kShaderAccess = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;

// Host writes before a submit are visible to it without a barrier (Vulkan 1.3, 7.9 "Host write
// ordering guarantees"); the copy waits for the steps before it, which read and write the target.
Status record_begin(const Plan& plan, const Device& device, const Recording& r, Error* error) {
  NBL_TRY(begin_recording(device, r.begin, 0, error));
  barrier(device, r.begin, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_TRANSFER_WRITE_BIT);
  copy(device, r.begin, r, plan.io_step, plan.step, plan.step.bytes);
  NBL_VK(device, error, EndCommandBuffer, r.begin);
  return {};
}

Status record_run(const Plan& plan, const Phase& phase, const Device& device, const Recording& r,
                  uint32_t first_set, const PhaseCommands& c, Error* error) {
  const auto& fn = device.fn;
  // Of chains, 0 before a step. The dispatches in front of the first chain may run meanwhile.
  const Region messages = &phase == &plan.decode ? plan.messages : Region{};
  VkPipelineStageFlags fill_stage = messages.bytes == 0 ? 0 : VK_PIPELINE_STAGE_TRANSFER_BIT;
  VkAccessFlags fill_write = messages.bytes == 0 ? 0 : VK_ACCESS_TRANSFER_WRITE_BIT;
  NBL_TRY(begin_recording(device, c.run, VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT, error));
  const uint32_t count = static_cast<uint32_t>(phase.dispatches.size());
  reset_timestamps(device, c.run, c.timestamps);
  // Orders this step after the one before it and after the copy of the step buffer.
  barrier(device, c.run, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
          VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | fill_stage, kShaderAccess | fill_write);
  write_timestamp(device, c.run, c.timestamps, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, 0);
  if (messages.bytes != 0) {
    fn.CmdFillBuffer(c.run, r.blocks[messages.block].buffer, messages.offset, messages.bytes, 0);
  }
  VkPipeline bound = VK_NULL_HANDLE;
  for (uint32_t i = 0; i < count; ++i) {
    const Dispatch& d = phase.dispatches[i];
    if (d.barrier_before) {
      barrier(device, c.run, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | fill_stage,
              VK_ACCESS_SHADER_WRITE_BIT | fill_write, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
              kShaderAccess);
      fill_stage = 0;
      fill_write = 0;
    }
    const VkPipeline pipeline = find_pipeline(r, d.call);
    if (pipeline != bound) {
      fn.CmdBindPipeline(c.run, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
      bound = pipeline;
    }
    const VkPipelineLayout layout = find_layout(r, d)->pipeline;
    fn.CmdBindDescriptorSets(c.run, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1,
                             &r.sets[first_set + i], 0, nullptr);
    fn.CmdPushConstants(c.run, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes, d.call.push);
    // The first one is taken when the device comes by, past the barrier; not when earlier
    // dispatches are done, which the end stamps tell.
    write_timestamp(device, c.run, c.timestamps, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, 2 * i + 1);
    fn.CmdDispatch(c.run, d.call.grid[0], d.call.grid[1], d.call.grid[2]);
    write_timestamp(device, c.run, c.timestamps, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, 2 * i + 2);
  }
  // The host reads rows of caches where this phase writes them; of a slide it reads nothing.
  if (&c == &r.window) {
    barrier(device, c.run, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
            VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
  }
  NBL_VK(device, error, EndCommandBuffer, c.run);
  return {};
}

Status record_end(const Plan& plan, const Phase& phase, const Device& device, const Recording& r,
                  const PhaseCommands& c, Error* error) {
  NBL_TRY(begin_recording(device, c.end, 0, error));
  barrier(device, c.end, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
  copy(device, c.end, r, plan.results, plan.io_results, plan.results.bytes);
  if (plan.options.logits != LogitsMode::none) {
    copy(device, c.end, r, phase.logits, plan.io_logits, phase.logits.bytes);
  }
  barrier(device, c.end, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
          VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
  NBL_VK(device, error, EndCommandBuffer, c.end);
  return {};
}

}  // namespace

Status make_commands(const Plan& plan, const Device& device, const RecordOptions& options,
                     Recording* out, Error* error) {
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device.queue_family;
  NBL_VK(device, error, CreateCommandPool, device.device, &pool, &device.host, &out->command_pool);
  VkFenceCreateInfo fence{};
  fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  NBL_VK(device, error, CreateFence, device.device, &fence, &device.host, &out->fence);
  NBL_TRY(make_buffer(device, out->command_pool, &out->begin, error));
  NBL_TRY(make_phase(plan.decode, device, options, out->command_pool, &out->decode, error));
  if (!plan.prefill.dispatches.empty()) {
    NBL_TRY(make_phase(plan.prefill, device, options, out->command_pool, &out->prefill, error));
  }
  NBL_TRY(make_buffer(device, out->command_pool, &out->window.run, error));
  if (plan.slide.dispatches.empty()) return {};
  return make_buffer(device, out->command_pool, &out->slide.run, error);
}

Status record_commands(const Plan& plan, const Device& device, Recording* out, Error* error) {
  NBL_TRY(record_begin(plan, device, *out, error));
  NBL_TRY(record_run(plan, plan.decode, device, *out, 0, out->decode, error));
  NBL_TRY(record_end(plan, plan.decode, device, *out, out->decode, error));
  uint32_t first = static_cast<uint32_t>(plan.decode.dispatches.size());
  if (!plan.prefill.dispatches.empty()) {
    NBL_TRY(record_run(plan, plan.prefill, device, *out, first, out->prefill, error));
    NBL_TRY(record_end(plan, plan.prefill, device, *out, out->prefill, error));
    first += static_cast<uint32_t>(plan.prefill.dispatches.size());
  }
  // A model without caches has rows to move in neither of these.
  if (plan.window.dispatches.empty()) return {};
  NBL_TRY(record_run(plan, plan.window, device, *out, first, out->window, error));
  first += static_cast<uint32_t>(plan.window.dispatches.size());
  if (plan.slide.dispatches.empty()) return {};
  return record_run(plan, plan.slide, device, *out, first, out->slide, error);
}

}  // namespace nbl
