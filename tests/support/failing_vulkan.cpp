#include "tests/support/failing_vulkan.h"

#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace nbl::test {
namespace {

enum Id : size_t {
#define NBL_VK_LOADER(name) k##name,
#define NBL_VK_INSTANCE(name) k##name,
#define NBL_VK_DEVICE(name) k##name,
#define NBL_VK_OPTIONAL(name) k##name,
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
  kCount
};

constexpr std::string_view kNames[kCount] = {
#define NBL_VK_LOADER(name) #name,
#define NBL_VK_INSTANCE(name) #name,
#define NBL_VK_DEVICE(name) #name,
#define NBL_VK_OPTIONAL(name) #name,
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
};

struct State {
  PFN_vkGetInstanceProcAddr get = nullptr;
  PFN_vkVoidFunction real[kCount] = {};
  uint64_t calls = 0;
  uint64_t fail_at = 0;
  VkResult result = VK_SUCCESS;
  std::string failed;
  std::string hidden;
  std::map<std::string_view, std::set<uint64_t>> alive;
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

template <Id id, typename Function>
struct Thunk;

template <Id id, typename Result, typename... Args>
struct Thunk<id, Result(VKAPI_PTR*)(Args...)> {
  static VKAPI_ATTR Result VKAPI_CALL call(Args... args) {
    const auto real = reinterpret_cast<Result(VKAPI_PTR*)(Args...)>(state.real[id]);
    if constexpr (std::is_same_v<Result, VkResult>) {
      if (++state.calls == state.fail_at) {
        state.failed = "vk" + std::string(kNames[id]);
        return state.result;
      }
      const VkResult result = real(args...);
      if (result >= 0) note<id>(std::tuple<Args...>(args...));
      return result;
    } else {
      if constexpr (std::is_void_v<Result>) note<id>(std::tuple<Args...>(args...));
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

std::string FailingVulkan::alive() {
  std::string text;
  for (const auto& [name, handles] : state.alive) {
    if (!handles.empty()) text += std::string(name) + ": " + std::to_string(handles.size()) + "\n";
  }
  return text;
}

}  // namespace nbl::test
