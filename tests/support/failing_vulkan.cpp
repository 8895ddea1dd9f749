#include "tests/support/failing_vulkan.h"

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "tests/support/vulkan_calls.h"

namespace nbl::test {
namespace {

using Id = VulkanId;
constexpr size_t kCount = kVulkanIdCount;
constexpr auto& kNames = kVulkanNames;

struct State {
  PFN_vkGetInstanceProcAddr get = nullptr;
  PFN_vkVoidFunction real[kCount] = {};
  uint64_t calls = 0;
  uint64_t fail_at = 0;
  VkResult result = VK_SUCCESS;
  std::string failed;
  std::string hidden;
  std::map<std::string_view, std::set<uint64_t>> alive;
  bool keeps_stream = false;
  std::vector<std::string> stream;
  CallWriter writer;
  std::optional<FakeTimestamps> timestamps;
  uint64_t queries_read = 0;
};
State state;

// "Buffer" for CreateBuffer and DestroyBuffer. Empty for functions that make or end no object, or
// only such as go with their pool.
constexpr std::string_view object_of(Id id, bool made) {
  if (id == kCreateComputePipelines) return made ? "Pipeline" : "";
  if (id == kAllocateMemory) return made ? "Memory" : "";
  if (id == kFreeMemory) return made ? "" : "Memory";
  const std::string_view verb = made ? "Create" : "Destroy";
  return kNames[id].substr(0, verb.size()) == verb ? kNames[id].substr(verb.size()) : "";
}

template <typename Handle>
uint64_t number(Handle handle) {
  return reinterpret_cast<uint64_t>(handle);
}

template <Id id, typename... Args>
void note(const std::tuple<Args...>& args) {
  constexpr std::string_view made = object_of(id, true);
  constexpr std::string_view gone = object_of(id, false);
  if constexpr (!made.empty()) {
    uint32_t count = 1;
    if constexpr (id == kCreateComputePipelines) count = std::get<2>(args);
    for (uint32_t i = 0; i < count; ++i)
      state.alive[made].insert(number(std::get<sizeof...(Args) - 1>(args)[i]));
  } else if constexpr (!gone.empty()) {
    const uint64_t handle = number(std::get<sizeof...(Args) - 2>(args));
    if (handle != 0 && state.alive[gone].erase(handle) == 0) {
      state.alive["(destroyed twice) "].insert(handle);
    }
  }
}

// Numbers the objects that a call made.
template <Id id, typename... Args>
void number_made(const std::tuple<Args...>& args) {
  const auto* const last = std::get<sizeof...(Args) - 1>(args);
  uint32_t count = 1;
  if constexpr (id == kCreateComputePipelines) count = std::get<2>(args);
  if constexpr (id == kAllocateCommandBuffers) count = std::get<1>(args)->commandBufferCount;
  if constexpr (id == kAllocateDescriptorSets) count = std::get<1>(args)->descriptorSetCount;
  for (uint32_t i = 0; i < count; ++i)
    state.writer.made(last[i]);
}

// Puts the fake timestamps over what a call found.
template <Id id, typename... Args>
void fake(const std::tuple<Args...>& args) {
  if (!state.timestamps) return;
  if constexpr (id == kGetPhysicalDeviceQueueFamilyProperties) {
    for (uint32_t i = 0; std::get<2>(args) != nullptr && i < *std::get<1>(args); ++i)
      std::get<2>(args)[i].timestampValidBits = state.timestamps->valid_bits;
  } else if constexpr (id == kGetPhysicalDeviceProperties) {
    std::get<1>(args)->limits.timestampPeriod = state.timestamps->period_ns;
  } else if constexpr (id == kGetPhysicalDeviceProperties2) {
    std::get<1>(args)->properties.limits.timestampPeriod = state.timestamps->period_ns;
  } else if constexpr (id == kGetQueryPoolResults) {
    auto* const ticks = static_cast<uint64_t*>(std::get<5>(args));
    for (uint32_t i = 0; state.timestamps->tick != nullptr && i < std::get<3>(args); ++i)
      ticks[i] = state.timestamps->tick(state.queries_read++);
  }
}

template <Id id, typename Function>
struct Thunk;

template <Id id, typename Result, typename... Args>
struct Thunk<id, Result(VKAPI_PTR*)(Args...)> {
  static VKAPI_ATTR Result VKAPI_CALL call(Args... args) {
    const auto real = reinterpret_cast<Result(VKAPI_PTR*)(Args...)>(state.real[id]);
    const std::tuple<Args...> all(args...);
    if (state.keeps_stream) state.stream.push_back(state.writer.write<id>(all));
    if constexpr (std::is_same_v<Result, VkResult>) {
      if (++state.calls == state.fail_at) {
        state.failed = "vk" + std::string(kNames[id]);
        return state.result;
      }
      const VkResult result = real(args...);
      if (result < 0) return result;
      note<id>(all);
      fake<id>(all);
      if constexpr (!object_of(id, true).empty() || id == kAllocateCommandBuffers ||
                    id == kAllocateDescriptorSets) {
        number_made<id>(all);
      }
      return result;
    } else if constexpr (std::is_void_v<Result>) {
      note<id>(all);
      real(args...);
      fake<id>(all);
    } else {
      return real(args...);
    }
  }
};

PFN_vkVoidFunction find_through(Id id, PFN_vkVoidFunction real);

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_function(VkDevice device, const char* name) {
  const auto real = reinterpret_cast<PFN_vkGetDeviceProcAddr>(state.real[kGetDeviceProcAddr]);
  for (size_t id = 0; id < kCount; ++id) {
    if (name == "vk" + std::string(kNames[id])) {
      return find_through(static_cast<Id>(id), real(device, name));
    }
  }
  return real(device, name);
}

PFN_vkVoidFunction find_through(Id id, PFN_vkVoidFunction real) {
  static constexpr auto address = [](auto* function) {
    return reinterpret_cast<PFN_vkVoidFunction>(function);
  };
  static const PFN_vkVoidFunction thunks[kCount] = {
#define NBL_THUNK(name) address(&Thunk<k##name, PFN_vk##name>::call),
#define NBL_VK_LOADER(name) NBL_THUNK(name)
#define NBL_VK_INSTANCE(name) NBL_THUNK(name)
#define NBL_VK_DEVICE(name) NBL_THUNK(name)
#define NBL_VK_OPTIONAL(name) NBL_THUNK(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
#undef NBL_THUNK
  };
  if (real == nullptr || state.hidden == "vk" + std::string(kNames[id])) return nullptr;
  state.real[id] = real;
  return id == kGetDeviceProcAddr ? address(&get_device_function) : thunks[id];
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_function(VkInstance instance,
                                                               const char* name) {
  for (size_t id = 0; id < kCount; ++id) {
    if (name == "vk" + std::string(kNames[id])) {
      return find_through(static_cast<Id>(id), state.get(instance, name));
    }
  }
  return state.get(instance, name);
}

}  // namespace

nbl_get_instance_proc_addr FailingVulkan::over(nbl_get_instance_proc_addr real) {
  state = {};
  state.get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(real);
  return reinterpret_cast<nbl_get_instance_proc_addr>(&get_instance_function);
}

void FailingVulkan::fail(uint64_t call, VkResult result) {
  state.calls = 0;
  state.fail_at = call;
  state.result = result;
  state.failed.clear();
}

uint64_t FailingVulkan::calls() {
  return state.calls;
}

const std::string& FailingVulkan::failed() {
  return state.failed;
}

void FailingVulkan::hide(const std::string& name) {
  state.hidden = name;
}

void FailingVulkan::fake_timestamps(FakeTimestamps fake) {
  state.timestamps = std::move(fake);
  state.queries_read = 0;
}

void FailingVulkan::keep_stream() {
  state.keeps_stream = true;
}

const std::vector<std::string>& FailingVulkan::stream() {
  return state.stream;
}

std::string FailingVulkan::alive() {
  std::string text;
  for (const auto& [name, handles] : state.alive) {
    if (!handles.empty()) text += std::string(name) + ": " + std::to_string(handles.size()) + "\n";
  }
  return text;
}

}  // namespace nbl::test
