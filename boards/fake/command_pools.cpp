// Command pools, and the states that command buffers go through.
#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

constexpr size_t kChunkBytes = 512;  // that a command buffer takes to begin with

using State = CommandBuffer::State;

bool is_pending(const Driver& driver, const CommandBuffer* commands) {
  for (const Submission& submission : driver.queue) {
    for (const CommandBuffer* buffer : submission.buffers) {
      if (buffer == commands) return true;
    }
  }
  return false;
}

void reset(Driver& driver, const char* call, CommandBuffer* commands) {
  if (is_pending(driver, commands)) {
    driver.complain(call, "the command buffer is in a submit under way");
  }
  commands->state = State::initial;
  commands->commands.clear();
  commands->uses.clear();
  commands->pipeline = nullptr;
  commands->set = nullptr;
  commands->push.clear();
  commands->out_of_memory = false;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL CreateCommandPool(VkDevice device,
                                                 const VkCommandPoolCreateInfo* info,
                                                 const VkAllocationCallbacks* callbacks,
                                                 VkCommandPool* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkCreateCommandPool", device);
  if (parent == nullptr) return kMisused;
  if (info->queueFamilyIndex != 0) driver.complain("vkCreateCommandPool", "no such queue family");
  auto* const pool = driver.make<CommandPool>(parent, callbacks, 128);
  if (pool == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  pool->flags = info->flags;
  *out = handle_of<VkCommandPool>(pool);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyCommandPool(VkDevice device, VkCommandPool handle,
                                              const VkAllocationCallbacks* callbacks) {
  Driver& driver = driver_of(device);
  auto* const pool = driver.destroy<CommandPool>("vkDestroyCommandPool", handle, callbacks);
  if (pool == nullptr) return;
  driver.end_children("vkDestroyCommandPool", pool, Kind::command_buffer);
}

VKAPI_ATTR VkResult VKAPI_CALL ResetCommandPool(VkDevice device, VkCommandPool handle,
                                                VkCommandPoolResetFlags) {
  Driver& driver = driver_of(device);
  auto* const pool = driver.use<CommandPool>("vkResetCommandPool", handle);
  if (pool == nullptr) return kMisused;
  for (const auto& object : driver.objects) {
    if (!object->alive || object->parent != pool) continue;
    reset(driver, "vkResetCommandPool", static_cast<CommandBuffer*>(object.get()));
  }
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL AllocateCommandBuffers(VkDevice device,
                                                      const VkCommandBufferAllocateInfo* info,
                                                      VkCommandBuffer* out) {
  Driver& driver = driver_of(device);
  auto* const pool = driver.use<CommandPool>("vkAllocateCommandBuffers", info->commandPool);
  if (pool == nullptr) return kMisused;
  std::vector<CommandBuffer*> made;
  for (uint32_t i = 0; i < info->commandBufferCount; ++i) {
    auto* const commands = driver.make<CommandBuffer>(pool, pool->made_with(), 96);
    if (commands == nullptr) {
      for (CommandBuffer* earlier : made)
        driver.end("vkAllocateCommandBuffers", earlier, pool->made_with());
      for (uint32_t k = 0; k < info->commandBufferCount; ++k)
        out[k] = VK_NULL_HANDLE;
      return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    commands->pool = pool;
    made.push_back(commands);
    out[i] = handle_of<VkCommandBuffer>(commands);
  }
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL FreeCommandBuffers(VkDevice device, VkCommandPool handle, uint32_t count,
                                              const VkCommandBuffer* buffers) {
  constexpr const char* kCall = "vkFreeCommandBuffers";
  Driver& driver = driver_of(device);
  auto* const pool = driver.use<CommandPool>(kCall, handle);
  for (uint32_t i = 0; pool != nullptr && i < count; ++i) {
    if (buffers[i] == VK_NULL_HANDLE) continue;
    auto* const commands = driver.use<CommandBuffer>(kCall, buffers[i]);
    if (commands == nullptr) continue;
    if (commands->pool != pool) driver.complain(kCall, "it is another pool's");
    driver.end(kCall, commands, pool->made_with());
  }
}

VKAPI_ATTR VkResult VKAPI_CALL BeginCommandBuffer(VkCommandBuffer handle,
                                                  const VkCommandBufferBeginInfo* info) {
  constexpr const char* kCall = "vkBeginCommandBuffer";
  Driver& driver = driver_of(handle);
  auto* const commands = driver.use<CommandBuffer>(kCall, handle);
  if (commands == nullptr) return kMisused;
  if (commands->state == State::recording) {
    driver.complain(kCall, "the command buffer is being recorded");
  }
  const bool resettable =
      (commands->pool->flags & VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT) != 0;
  if (commands->state != State::initial && !resettable) {
    driver.complain(kCall, "its pool does not let it be recorded again");
  }
  reset(driver, kCall, commands);
  if (commands->host_blocks.size() < 2 &&
      !driver.grow(commands, kChunkBytes, VK_SYSTEM_ALLOCATION_SCOPE_OBJECT)) {
    return VK_ERROR_OUT_OF_HOST_MEMORY;
  }
  commands->state = State::recording;
  commands->usage = info->flags;
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL EndCommandBuffer(VkCommandBuffer handle) {
  constexpr const char* kCall = "vkEndCommandBuffer";
  Driver& driver = driver_of(handle);
  auto* const commands = driver.use<CommandBuffer>(kCall, handle);
  if (commands == nullptr) return kMisused;
  if (commands->state != State::recording) {
    driver.complain(kCall, "the command buffer is not being recorded");
    return kMisused;
  }
  if (commands->out_of_memory) {
    commands->state = State::invalid;
    return VK_ERROR_OUT_OF_HOST_MEMORY;
  }
  commands->state = State::executable;
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL ResetCommandBuffer(VkCommandBuffer handle,
                                                  VkCommandBufferResetFlags) {
  constexpr const char* kCall = "vkResetCommandBuffer";
  Driver& driver = driver_of(handle);
  auto* const commands = driver.use<CommandBuffer>(kCall, handle);
  if (commands == nullptr) return kMisused;
  if ((commands->pool->flags & VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT) == 0) {
    driver.complain(kCall, "its pool does not let it be reset");
  }
  reset(driver, kCall, commands);
  return VK_SUCCESS;
}

}  // namespace nbl::fake
