// What is recorded into command buffers, checked where it is recorded.
#include <cstring>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

constexpr size_t kCommandsAChunk = 64;
constexpr size_t kChunkBytes = 1024;
constexpr VkDeviceSize kMostUpdateBytes = 65536;

// The command buffer where it may be recorded into, else null with a complaint.
CommandBuffer* recording(const char* call, VkCommandBuffer handle) {
  Driver& driver = driver_of(handle);
  auto* const commands = driver.use<CommandBuffer>(call, handle);
  if (commands == nullptr || commands->state == CommandBuffer::State::recording) return commands;
  driver.complain(call, "the command buffer is not being recorded");
  return nullptr;
}

Command& add(CommandBuffer* commands, CommandKind kind) {
  if (commands->commands.size() % kCommandsAChunk == kCommandsAChunk - 1 &&
      !commands->driver->grow(commands, kChunkBytes, VK_SYSTEM_ALLOCATION_SCOPE_OBJECT)) {
    commands->out_of_memory = true;
  }
  commands->commands.emplace_back();
  commands->commands.back().kind = kind;
  return commands->commands.back();
}

// A buffer of a transfer, with memory and made for it.
Buffer* transfer_buffer(const char* call, CommandBuffer* commands, VkBuffer handle,
                        VkBufferUsageFlagBits usage) {
  Driver& driver = *commands->driver;
  auto* const buffer = driver.use<Buffer>(call, handle);
  if (buffer == nullptr) return nullptr;
  if (buffer->memory == nullptr || (buffer->usage & usage) == 0) {
    driver.complain(call, "the buffer has no memory or is not for transfers");
    return nullptr;
  }
  commands->uses.insert(buffer);
  commands->uses.insert(buffer->memory);
  return buffer;
}

bool inside(const char* call, const Buffer& buffer, uint64_t offset, uint64_t bytes) {
  if (bytes != 0 && offset <= buffer.bytes && bytes <= buffer.bytes - offset) return true;
  buffer.driver->complain(call, std::to_string(bytes) + " bytes at offset " +
                                    std::to_string(offset) + " do not lie in a buffer of " +
                                    std::to_string(buffer.bytes));
  return false;
}

void use_set(CommandBuffer* commands, DescriptorSet* set) {
  set->recorded = true;
  commands->uses.insert(set);
  for (const Descriptor& descriptor : set->descriptors) {
    if (descriptor.buffer != nullptr) {
      commands->uses.insert({descriptor.buffer, descriptor.buffer->memory});
    }
    if (descriptor.view != nullptr) {
      commands->uses.insert(
          {descriptor.view, descriptor.view->image, descriptor.view->image->memory});
    }
  }
}

// Everything that a dispatch needs has been bound and fits.
bool is_complete(const char* call, const CommandBuffer& commands) {
  Driver& driver = *commands.driver;
  if (commands.pipeline == nullptr || commands.set == nullptr) {
    driver.complain(call, "no pipeline or no descriptor set is bound");
    return false;
  }
  const Shader& shader = *commands.pipeline->shader;
  if (commands.set->types != commands.pipeline->types) {
    driver.complain(call, "the descriptor set is not one of the pipeline's layout");
    return false;
  }
  for (size_t i = 0; i < commands.set->descriptors.size(); ++i) {
    const Descriptor& descriptor = commands.set->descriptors[i];
    const bool used = ((shader.reads | shader.writes) >> i & 1u) != 0;
    if (used && descriptor.buffer == nullptr && descriptor.view == nullptr) {
      driver.complain(call, "binding " + std::to_string(i) + " was never written");
      return false;
    }
  }
  if (commands.push.size() * 4 < shader.facts.push_bytes) {
    driver.complain(call, "push constants have not been set");
  }
  return true;
}

void add_dispatch(CommandBuffer* commands, std::array<uint32_t, 3> grid) {
  Command& command = add(commands, CommandKind::dispatch);
  command.pipeline = commands->pipeline;
  command.set = commands->set;
  command.push = commands->push;
  command.grid = grid;
}

}  // namespace

VKAPI_ATTR void VKAPI_CALL CmdBindPipeline(VkCommandBuffer handle, VkPipelineBindPoint,
                                           VkPipeline pipeline) {
  auto* const commands = recording("vkCmdBindPipeline", handle);
  if (commands == nullptr) return;
  commands->pipeline = commands->driver->use<Pipeline>("vkCmdBindPipeline", pipeline);
  if (commands->pipeline != nullptr) commands->uses.insert(commands->pipeline);
}

VKAPI_ATTR void VKAPI_CALL CmdBindDescriptorSets(VkCommandBuffer handle, VkPipelineBindPoint,
                                                 VkPipelineLayout layout_handle, uint32_t first,
                                                 uint32_t count, const VkDescriptorSet* sets,
                                                 uint32_t dynamic_count, const uint32_t*) {
  constexpr const char* kCall = "vkCmdBindDescriptorSets";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  Driver& driver = *commands->driver;
  auto* const layout = driver.use<PipelineLayout>(kCall, layout_handle);
  if (layout == nullptr || first != 0 || count != 1 || dynamic_count != 0) {
    driver.complain(kCall, "layouts have the one set 0");
    return;
  }
  commands->set = driver.use<DescriptorSet>(kCall, sets[0]);
  if (commands->set == nullptr) return;
  if (commands->set->types != layout->types) {
    driver.complain(kCall, "the set is not one of this layout");
  }
  use_set(commands, commands->set);
}

VKAPI_ATTR void VKAPI_CALL CmdPushConstants(VkCommandBuffer handle, VkPipelineLayout layout_handle,
                                            VkShaderStageFlags, uint32_t offset, uint32_t bytes,
                                            const void* values) {
  constexpr const char* kCall = "vkCmdPushConstants";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  Driver& driver = *commands->driver;
  auto* const layout = driver.use<PipelineLayout>(kCall, layout_handle);
  if (layout == nullptr) return;
  if (offset % 4 != 0 || bytes % 4 != 0 || bytes == 0 || offset + bytes > layout->push_bytes) {
    driver.complain(kCall, "the range is not in the layout's");
    return;
  }
  if (commands->push.size() < (offset + bytes) / 4) commands->push.resize((offset + bytes) / 4);
  std::memcpy(commands->push.data() + offset / 4, values, bytes);
}

VKAPI_ATTR void VKAPI_CALL CmdDispatch(VkCommandBuffer handle, uint32_t x, uint32_t y, uint32_t z) {
  auto* const commands = recording("vkCmdDispatch", handle);
  if (commands == nullptr || !is_complete("vkCmdDispatch", *commands)) return;
  const uint32_t(&most)[3] = commands->driver->caps.max_grid;
  if (x > most[0] || y > most[1] || z > most[2]) {
    commands->driver->complain("vkCmdDispatch", "a grid of " + std::to_string(x) + " x " +
                                                    std::to_string(y) + " x " + std::to_string(z) +
                                                    " is larger than the device's");
  }
  add_dispatch(commands, {x, y, z});
}

VKAPI_ATTR void VKAPI_CALL CmdDispatchIndirect(VkCommandBuffer handle, VkBuffer buffer,
                                               VkDeviceSize offset) {
  constexpr const char* kCall = "vkCmdDispatchIndirect";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr || !is_complete(kCall, *commands)) return;
  auto* const source =
      transfer_buffer(kCall, commands, buffer, VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT);
  if (source == nullptr || !inside(kCall, *source, offset, sizeof(VkDispatchIndirectCommand)))
    return;
  add_dispatch(commands, {});
  Command& command = commands->commands.back();
  command.indirect = true;
  command.source = source;
  command.offset = offset;
}

VKAPI_ATTR void VKAPI_CALL CmdCopyBuffer(VkCommandBuffer handle, VkBuffer from, VkBuffer to,
                                         uint32_t count, const VkBufferCopy* regions) {
  constexpr const char* kCall = "vkCmdCopyBuffer";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  auto* const source = transfer_buffer(kCall, commands, from, VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
  auto* const target = transfer_buffer(kCall, commands, to, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
  if (source == nullptr || target == nullptr) return;
  for (uint32_t i = 0; i < count; ++i) {
    const VkBufferCopy& r = regions[i];
    if (!inside(kCall, *source, r.srcOffset, r.size) ||
        !inside(kCall, *target, r.dstOffset, r.size)) {
      return;
    }
    if (source == target && r.srcOffset < r.dstOffset + r.size &&
        r.dstOffset < r.srcOffset + r.size) {
      commands->driver->complain(kCall, "source and target overlap");
    }
  }
  Command& command = add(commands, CommandKind::copy);
  command.source = source;
  command.target = target;
  command.copies.assign(regions, regions + count);
}

VKAPI_ATTR void VKAPI_CALL CmdCopyBufferToImage(VkCommandBuffer handle, VkBuffer from, VkImage to,
                                                VkImageLayout layout, uint32_t count,
                                                const VkBufferImageCopy* regions) {
  constexpr const char* kCall = "vkCmdCopyBufferToImage";
  constexpr uint64_t kTexelBytes = 16;
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  Driver& driver = *commands->driver;
  auto* const source = transfer_buffer(kCall, commands, from, VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
  auto* const image = driver.use<Image>(kCall, to);
  if (source == nullptr || image == nullptr) return;
  if (image->memory == nullptr || (image->usage & VK_IMAGE_USAGE_TRANSFER_DST_BIT) == 0) {
    driver.complain(kCall, "the image has no memory or is not for transfers");
    return;
  }
  commands->uses.insert({image, image->memory});
  for (uint32_t i = 0; i < count; ++i) {
    const VkBufferImageCopy& r = regions[i];
    const auto x = static_cast<uint64_t>(r.imageOffset.x);
    const auto y = static_cast<uint64_t>(r.imageOffset.y);
    const uint64_t bytes = uint64_t{r.imageExtent.width} * r.imageExtent.height * kTexelBytes;
    if (!inside(kCall, *source, r.bufferOffset, bytes)) return;
    if (r.bufferOffset % kTexelBytes != 0 || r.imageExtent.depth != 1 || r.bufferRowLength != 0 ||
        x + r.imageExtent.width > image->extent.width ||
        y + r.imageExtent.height > image->extent.height) {
      driver.complain(kCall, "a region is not aligned or ends outside the image");
      return;
    }
  }
  Command& command = add(commands, CommandKind::copy_to_image);
  command.source = source;
  command.image = image;
  command.image_layout = layout;
  command.image_copies.assign(regions, regions + count);
}

VKAPI_ATTR void VKAPI_CALL CmdFillBuffer(VkCommandBuffer handle, VkBuffer to, VkDeviceSize offset,
                                         VkDeviceSize bytes, uint32_t word) {
  constexpr const char* kCall = "vkCmdFillBuffer";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  auto* const target = transfer_buffer(kCall, commands, to, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
  if (target == nullptr) return;
  if (bytes == VK_WHOLE_SIZE && offset < target->bytes) bytes = (target->bytes - offset) / 4 * 4;
  if (offset % 4 != 0 || bytes % 4 != 0 || !inside(kCall, *target, offset, bytes)) {
    commands->driver->complain(kCall, "the range is not made of words");
    return;
  }
  Command& command = add(commands, CommandKind::fill);
  command.target = target;
  command.offset = offset;
  command.bytes = bytes;
  command.word = word;
}

VKAPI_ATTR void VKAPI_CALL CmdUpdateBuffer(VkCommandBuffer handle, VkBuffer to, VkDeviceSize offset,
                                           VkDeviceSize bytes, const void* data) {
  constexpr const char* kCall = "vkCmdUpdateBuffer";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  auto* const target = transfer_buffer(kCall, commands, to, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
  if (target == nullptr || !inside(kCall, *target, offset, bytes)) return;
  if (offset % 4 != 0 || bytes % 4 != 0 || bytes > kMostUpdateBytes) {
    commands->driver->complain(kCall,
                               std::to_string(bytes) + " bytes are not words or more than 65536");
    return;
  }
  Command& command = add(commands, CommandKind::update);
  command.target = target;
  command.offset = offset;
  command.bytes = bytes;
  const auto* const from = static_cast<const std::byte*>(data);
  command.data.assign(from, from + bytes);
}

VKAPI_ATTR void VKAPI_CALL CmdPipelineBarrier(
    VkCommandBuffer handle, VkPipelineStageFlags from, VkPipelineStageFlags to, VkDependencyFlags,
    uint32_t memory_count, const VkMemoryBarrier* memories, uint32_t buffer_count,
    const VkBufferMemoryBarrier*, uint32_t image_count, const VkImageMemoryBarrier* images) {
  constexpr const char* kCall = "vkCmdPipelineBarrier";
  auto* const commands = recording(kCall, handle);
  if (commands == nullptr) return;
  Driver& driver = *commands->driver;
  if (driver.barrier_fault.strikes()) return;
  Command command;
  command.kind = CommandKind::barrier;
  command.from = from;
  command.to = to;
  if (from == 0 || to == 0) driver.complain(kCall, "a mask of stages is empty");
  if (buffer_count != 0) driver.complain(kCall, "buffer barriers are not known here");
  for (uint32_t i = 0; i < memory_count; ++i) {
    command.made |= memories[i].srcAccessMask;
    command.seen |= memories[i].dstAccessMask;
  }
  for (uint32_t i = 0; i < image_count; ++i) {
    auto* const image = driver.use<Image>(kCall, images[i].image);
    if (image == nullptr || image->memory == nullptr) return;
    commands->uses.insert({image, image->memory});
    command.made |= images[i].srcAccessMask;
    command.seen |= images[i].dstAccessMask;
    command.changes.push_back({image, images[i].oldLayout, images[i].newLayout});
  }
  const auto fits = [](VkAccessFlags access, VkPipelineStageFlags stages) {
    constexpr VkAccessFlags kShader = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    constexpr VkAccessFlags kTransfer = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    constexpr VkAccessFlags kHost = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT;
    return ((access & kShader) == 0 || (stages & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT) != 0) &&
           ((access & kTransfer) == 0 || (stages & VK_PIPELINE_STAGE_TRANSFER_BIT) != 0) &&
           ((access & kHost) == 0 || (stages & VK_PIPELINE_STAGE_HOST_BIT) != 0);
  };
  if (!fits(command.made, from) || !fits(command.seen, to)) {
    driver.complain(kCall, "an access is none of its stages");
  }
  add(commands, CommandKind::barrier) = std::move(command);
}

}  // namespace nbl::fake
