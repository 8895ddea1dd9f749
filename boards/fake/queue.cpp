// Submits. Commands run when somebody waits for them and not before, so that a host that looks or
// writes too early sees that it does.
#include <cstring>

#include "boards/fake/driver.h"
#include "boards/fake/execute.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

using State = CommandBuffer::State;

bool is_under_way(const Driver& driver, const CommandBuffer* commands) {
  for (const Submission& submission : driver.queue) {
    for (const CommandBuffer* buffer : submission.buffers) {
      if (buffer == commands) return true;
    }
  }
  return false;
}

// Memory that host and device have come apart on.
void check_views(Driver& driver) {
  for (const auto& object : driver.objects) {
    if (!object->alive || object->kind != Kind::memory) continue;
    const auto& memory = static_cast<const Memory&>(*object);
    if (memory.coherent) continue;
    if (std::memcmp(memory.host_view.get(), memory.agreed.get(),
                    static_cast<size_t>(memory.bytes)) != 0) {
      driver.complain("vkQueueSubmit", "the host wrote memory and did not flush it");
    }
    if (memory.mapped && memory.device_wrote) {
      driver.complain("vkQueueSubmit", "the host has not invalidated what the device wrote before");
    }
  }
}

bool may_run(Driver& driver, const CommandBuffer& commands, bool twice) {
  if (commands.state != State::executable) {
    driver.complain("vkQueueSubmit", "the command buffer is not executable");
    return false;
  }
  if (twice && (commands.usage & VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT) == 0) {
    driver.complain("vkQueueSubmit",
                    "the command buffer is not for simultaneous use and under way already");
  }
  for (const Object* object : commands.uses) {
    if (object->alive) continue;
    driver.complain("vkQueueSubmit", std::string("the command buffer uses a ") +
                                         name_of(object->kind) + " that has been destroyed");
    return false;
  }
  return true;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL QueueSubmit(VkQueue handle, uint32_t count,
                                           const VkSubmitInfo* infos, VkFence fence_handle) {
  constexpr const char* kCall = "vkQueueSubmit";
  Driver& driver = driver_of(handle);
  if (driver.use<Queue>(kCall, handle) == nullptr) return kMisused;
  ++driver.submits;
  Submission submission{{}, nullptr};
  if (object_of(fence_handle) != nullptr) {
    submission.fence = driver.use<Fence>(kCall, fence_handle);
    if (submission.fence == nullptr) return kMisused;
    if (submission.fence->signaled || submission.fence->submitted) {
      driver.complain(kCall, "the fence is signaled, or another submit's");
    }
    submission.fence->submitted = true;
  }
  check_views(driver);
  for (uint32_t i = 0; i < count; ++i) {
    for (uint32_t k = 0; k < infos[i].commandBufferCount; ++k) {
      auto* const commands = driver.use<CommandBuffer>(kCall, infos[i].pCommandBuffers[k]);
      if (commands == nullptr) return kMisused;
      bool twice = is_under_way(driver, commands);
      for (const CommandBuffer* before : submission.buffers)
        twice |= before == commands;
      if (may_run(driver, *commands, twice)) submission.buffers.push_back(commands);
    }
  }
  driver.queue.push_back(std::move(submission));
  return VK_SUCCESS;
}

void Driver::run_queue() {
  for (const Submission& submission : queue) {
    for (CommandBuffer* commands : submission.buffers) {
      for (const Command& command : commands->commands)
        execute(*this, command);
      if ((commands->usage & VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT) != 0) {
        commands->state = State::invalid;
      }
    }
    if (submission.fence == nullptr) continue;
    submission.fence->submitted = false;
    submission.fence->signaled = true;
  }
  queue.clear();
  if (!look_for_hazards) return;
  const auto is_mapped = [](const void* memory) {
    return static_cast<const Memory*>(memory)->mapped;
  };
  hazards.host_waited(is_mapped, [this](const std::string& text) { complain(text); });
}

}  // namespace nbl::fake
