#include "rt/record/upload.h"

#include <cstring>

#include "rt/base/checked.h"
#include "rt/vk/image.h"
#include "rt/vk/result.h"
#include "spirv/texture.h"

namespace nbl {
namespace {

constexpr const char* kBlockNames[kBlockRoleCount] = {"weights", "state", "activations",
                                                      "host-visible buffers"};

constexpr uint32_t kWidth = 1u << TEXTURE_WIDTH_LOG2;
// A run of texels is the rest of a row, whole rows, and the start of a row.
constexpr uint32_t kMaxRegions = 3;

// Calls `put(bytes of the file, block, offset)` for every piece of every segment whose block the
// host writes, or does not write.
template <typename Put>
Status for_each_piece(const Model& model, const Plan& plan, bool host_written, const Put& put) {
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    std::span<const std::byte> rest = model.segment_bytes(i);
    const SegmentPlace& place = plan.segments[i];
    uint32_t block = place.first.block;
    uint64_t offset = place.first.offset;
    const uint64_t part = place.part_bytes == 0 ? rest.size() : place.part_bytes;
    while (!rest.empty()) {
      const size_t bytes = in_memory(min_of<uint64_t>(part, rest.size()));
      if (plan.blocks[block].host_written == host_written) {
        NBL_TRY(put(rest.first(bytes), block, offset));
      }
      rest = rest.subspan(bytes);
      ++block;
      offset = 0;
    }
  }
  return {};
}

Status begin_once(const Device& device, VkCommandBuffer commands, Error* error) {
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  NBL_VK(device, error, BeginCommandBuffer, commands, &info);
  return {};
}

Status end_buffer(const Device& device, VkCommandBuffer commands, Error* error) {
  NBL_VK(device, error, EndCommandBuffer, commands);
  return {};
}

// Cuts a copy of texels into rectangles. Returns how many.
uint32_t image_regions(const VkBufferCopy& copy, VkBufferImageCopy (&regions)[kMaxRegions]) {
  uint32_t count = 0;
  uint32_t rest = static_cast<uint32_t>(copy.size / TEXTURE_TEXEL_BYTES);
  uint32_t at = static_cast<uint32_t>(copy.dstOffset / TEXTURE_TEXEL_BYTES);
  uint64_t from = copy.srcOffset;
  while (rest > 0) {
    const uint32_t x = at % kWidth;
    const bool whole = x == 0 && rest >= kWidth;
    const uint32_t width = whole ? kWidth : min_of(rest, kWidth - x);
    const uint32_t height = whole ? rest / kWidth : 1;
    VkBufferImageCopy& region = regions[count++];
    region = {};
    region.bufferOffset = from;
    region.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
    region.imageOffset = {static_cast<int32_t>(x), static_cast<int32_t>(at / kWidth), 0};
    region.imageExtent = {width, height, 1};
    at += width * height;
    rest -= width * height;
    from += uint64_t{width} * height * TEXTURE_TEXEL_BYTES;
  }
  return count;
}

// The staging window: two halves, each with a command buffer and a fence of its own.
class Stager {
 public:
  Stager(const Device& device, Recording* recording, uint32_t timeout_ms)
      : device_(device), recording_(recording), timeout_ns_(uint64_t{timeout_ms} * 1000000) {}

  Status open(Error* error) {
    half_bytes_ = recording_->staging.bytes / 2;
    VkCommandBufferAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    info.commandPool = recording_->command_pool;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 2;
    NBL_VK(device_, error, AllocateCommandBuffers, device_.device, &info, commands_);
    VkFenceCreateInfo fence{};
    fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    for (VkFence& f : fences_) {
      NBL_VK(device_, error, CreateFence, device_.device, &fence, &device_.host, &f);
    }
    return {};
  }

  Status put(std::span<const std::byte> bytes, uint32_t block, uint64_t offset, Error* error) {
    while (!bytes.empty()) {
      const size_t size = in_memory(min_of<uint64_t>(half_bytes_, bytes.size()));
      NBL_TRY(wait(half_, error));
      std::byte* window = recording_->staging.mapped + half_ * half_bytes_;
      memcpy(window, bytes.data(), size);
      NBL_TRY(flush_block(device_, recording_->staging, error));
      NBL_TRY(copy({half_ * half_bytes_, offset, size}, block, error));
      half_ ^= 1;
      bytes = bytes.subspan(size);
      offset += size;
    }
    return {};
  }

  Status finish(Error* error) {
    NBL_TRY(wait(0, error));
    return wait(1, error);
  }

  // Everything that was submitted is done or lost; safe after any failure.
  void close() {
    if (busy_[0] || busy_[1]) (void)device_.fn.DeviceWaitIdle(device_.device);
    for (VkFence f : fences_) {
      if (f != VK_NULL_HANDLE) device_.fn.DestroyFence(device_.device, f, &device_.host);
    }
    if (commands_[0] != VK_NULL_HANDLE) {
      device_.fn.FreeCommandBuffers(device_.device, recording_->command_pool, 2, commands_);
    }
  }

 private:
  Status copy(const VkBufferCopy& region, uint32_t block, Error* error) {
    const VkCommandBuffer commands = commands_[half_];
    NBL_TRY(begin_once(device_, commands, error));
    const DeviceBlock& target = recording_->blocks[block];
    if (target.image != VK_NULL_HANDLE) {
      VkBufferImageCopy regions[kMaxRegions];
      const uint32_t count = image_regions(region, regions);
      device_.fn.CmdCopyBufferToImage(commands, recording_->staging.buffer, target.image,
                                      VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, count, regions);
    } else {
      device_.fn.CmdCopyBuffer(commands, recording_->staging.buffer, target.buffer, 1, &region);
    }
    NBL_TRY(end_buffer(device_, commands, error));
    VkSubmitInfo submit{};
    submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    submit.commandBufferCount = 1;
    submit.pCommandBuffers = &commands;
    NBL_VK(device_, error, QueueSubmit, device_.queue, 1, &submit, fences_[half_]);
    busy_[half_] = true;
    return {};
  }

  Status wait(uint32_t half, Error* error) {
    if (!busy_[half]) return {};
    const VkResult result =
        device_.fn.WaitForFences(device_.device, 1, &fences_[half], VK_TRUE, timeout_ns_);
    if (result == VK_TIMEOUT) {
      return fail(error, Code::gpu_timeout, 0, "copying weights", 0, timeout_ns_ / 1000000);
    }
    NBL_TRY(check(device_, result, "vkWaitForFences", error));
    NBL_VK(device_, error, ResetFences, device_.device, 1, &fences_[half]);
    busy_[half] = false;
    return {};
  }

  const Device& device_;
  Recording* recording_;
  const uint64_t timeout_ns_;
  uint64_t half_bytes_ = 0;
  uint32_t half_ = 0;
  VkCommandBuffer commands_[2] = {};
  VkFence fences_[2] = {};
  bool busy_[2] = {};
};

// A change of layout with the accesses before and after it.
struct Transition {
  VkImageLayout from;
  VkImageLayout to;
  VkPipelineStageFlags stage_before;
  VkPipelineStageFlags stage_after;
  VkAccessFlags access_before;
  VkAccessFlags access_after;
};
constexpr Transition kToCopies{VK_IMAGE_LAYOUT_UNDEFINED,
                               VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                               VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
                               VK_PIPELINE_STAGE_TRANSFER_BIT,
                               0,
                               VK_ACCESS_TRANSFER_WRITE_BIT};
constexpr Transition kToShaders{
    VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
    VK_PIPELINE_STAGE_TRANSFER_BIT,       VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
    VK_ACCESS_TRANSFER_WRITE_BIT,         VK_ACCESS_SHADER_READ_BIT};

bool has_images(const Plan& plan) {
  for (const Block& block : plan.blocks) {
    if (block.image_rows != 0) return true;
  }
  return false;
}

// Changes the layout of every image of the plan.
Status change_images(const Plan& plan, const Device& device, const Transition& transition,
                     uint32_t timeout_ms, Recording* out, Error* error) {
  if (!has_images(plan)) return {};
  NBL_TRY(begin_once(device, out->begin, error));
  for (uint32_t i = 0; i < plan.blocks.size(); ++i) {
    if (plan.blocks[i].image_rows == 0) continue;
    VkImageMemoryBarrier barrier{};
    barrier.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER;
    barrier.srcAccessMask = transition.access_before;
    barrier.dstAccessMask = transition.access_after;
    barrier.oldLayout = transition.from;
    barrier.newLayout = transition.to;
    barrier.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
    barrier.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
    barrier.image = out->blocks[i].image;
    barrier.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    device.fn.CmdPipelineBarrier(out->begin, transition.stage_before, transition.stage_after, 0, 0,
                                 nullptr, 0, nullptr, 1, &barrier);
  }
  NBL_TRY(end_buffer(device, out->begin, error));
  const VkCommandBuffer buffers[] = {out->begin};
  return submit_and_wait(device, buffers, out->fence, timeout_ms, "preparing images", error);
}

Status stage_weights(const Model& model, const Plan& plan, const Device& device,
                     uint32_t timeout_ms, Recording* out, Error* error) {
  uint32_t type = 0;
  for (const Block& block : plan.blocks) {
    if (block.role == BlockRole::io) type = block.memory_type;
  }
  NBL_TRY(allocate_block(device, plan.options.staging_bytes, type, "the staging window",
                         &out->staging, error));
  NBL_TRY(map_block(device, &out->staging, error));
  NBL_TRY(change_images(plan, device, kToCopies, timeout_ms, out, error));
  Stager stager(device, out, timeout_ms);
  Status status = stager.open(error);
  if (status.ok()) {
    status = for_each_piece(model, plan, false,
                            [&](std::span<const std::byte> bytes, uint32_t block, uint64_t offset) {
                              return stager.put(bytes, block, offset, error);
                            });
  }
  if (status.ok()) status = stager.finish(error);
  stager.close();
  if (!status.ok()) return status;
  return change_images(plan, device, kToShaders, timeout_ms, out, error);
}

Status write_weights(const Model& model, const Plan& plan, const Device& device, Recording* out,
                     Error* error) {
  const auto put = [&](std::span<const std::byte> bytes, uint32_t block,
                       uint64_t offset) -> Status {
    DeviceBlock& target = out->blocks[block];
    const Status mapped = target.mapped == nullptr ? map_block(device, &target, error) : Status();
    if (mapped.ok()) memcpy(target.mapped + offset, bytes.data(), bytes.size());
    return mapped;
  };
  NBL_TRY(for_each_piece(model, plan, true, put));
  for (uint32_t i = 0; i < plan.blocks.size(); ++i) {
    if (!plan.blocks[i].host_written) continue;
    NBL_TRY(flush_block(device, out->blocks[i], error));
    unmap_block(device, &out->blocks[i]);
  }
  return {};
}

// The records of chains, after the memory that they lie in was cleared.
void write_program(const Plan& plan, const Device& device, const Recording& r) {
  constexpr size_t kMostBytes = 65536;  // of an update (Vulkan 1.3, vkCmdUpdateBuffer)
  std::span<const uint32_t> rest = plan.records;
  if (rest.empty()) return;
  VkMemoryBarrier cleared{};
  cleared.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  cleared.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
  cleared.dstAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
  device.fn.CmdPipelineBarrier(r.begin, VK_PIPELINE_STAGE_TRANSFER_BIT,
                               VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &cleared, 0, nullptr, 0,
                               nullptr);
  uint64_t offset = plan.program.offset;
  while (!rest.empty()) {
    const std::span<const uint32_t> some = rest.first(min_of(rest.size(), kMostBytes / 4));
    device.fn.CmdUpdateBuffer(r.begin, r.blocks[plan.program.block].buffer, offset,
                              some.size_bytes(), some.data());
    offset += some.size_bytes();
    rest = rest.subspan(some.size());
  }
}

}  // namespace

Status make_blocks(const Model& model, const Plan& plan, const Device& device, Recording* out,
                   Error* error) {
  for (uint32_t i = 0; i < plan.blocks.size(); ++i) {
    const Block& block = plan.blocks[i];
    if (block.image_rows != 0) {
      NBL_TRY(allocate_image(device, block.image_rows, block.bytes, block.memory_type,
                             &out->blocks[i], error));
      continue;
    }
    if (!block.imported) {
      NBL_TRY(allocate_block(device, block.bytes, block.memory_type,
                             kBlockNames[static_cast<size_t>(block.role)], &out->blocks[i], error));
      continue;
    }
    const std::byte* bytes = model.file().data() + block.file_offset;
    const Status status = import_block(device, bytes, block.bytes, &out->blocks[i], error);
    if (!status.ok()) return fail(error, Code::import_refused, i, "vkAllocateMemory");
  }
  return {};
}

Status upload_weights(const Model& model, const Plan& plan, const Device& device,
                      uint32_t timeout_ms, Recording* out, Error* error) {
  bool written = false;
  bool staged = false;
  for (const Block& block : plan.blocks) {
    if (block.role != BlockRole::weights || block.imported) continue;
    (block.host_written ? written : staged) = true;
  }
  if (written) NBL_TRY(write_weights(model, plan, device, out, error));
  if (!staged) return {};
  const Status status = stage_weights(model, plan, device, timeout_ms, out, error);
  free_block(device, &out->staging);
  return status;
}

Status clear_memory(const Plan& plan, const Device& device, uint32_t timeout_ms, Recording* out,
                    Error* error) {
  // `begin` is recorded over later; until then it serves for setup.
  NBL_TRY(begin_once(device, out->begin, error));
  for (uint32_t i = 0; i < plan.blocks.size(); ++i) {
    const BlockRole role = plan.blocks[i].role;
    if (role != BlockRole::state && role != BlockRole::activations) continue;
    device.fn.CmdFillBuffer(out->begin, out->blocks[i].buffer, 0, VK_WHOLE_SIZE, 0);
  }
  write_program(plan, device, *out);
  NBL_TRY(end_buffer(device, out->begin, error));
  const VkCommandBuffer buffers[] = {out->begin};
  return submit_and_wait(device, buffers, out->fence, timeout_ms, "clearing memory", error);
}

}  // namespace nbl
