// The state behind a FakeVulkan, and what its functions have in common.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "boards/fake/command.h"
#include "boards/fake/fake_vulkan.h"
#include "boards/fake/hazards.h"

namespace nbl::fake {

struct Submission {
  std::vector<CommandBuffer*> buffers;
  Fence* fence;
};

// A fault at the n-th of something, and how many there have been.
struct Fault {
  uint64_t at = 0;
  uint64_t count = 0;
  bool strikes() { return ++count == at; }
};

struct Driver {
  Caps caps{};
  size_t slot = 0;
  std::vector<std::unique_ptr<Object>> objects;
  std::vector<std::string> complaints;
  std::set<std::string> said;
  std::vector<const char*> calls;
  std::vector<Submission> queue;
  uint64_t heap_used[kMaxMemoryHeaps] = {};
  uint64_t device_bytes = 0;
  uint64_t peak_device_bytes = 0;
  uint64_t bytes_left = ~uint64_t{0};
  uint64_t without_callbacks = 0;
  uint32_t submits = 0;
  uint64_t cache_bytes = 0;
  uint64_t ticks = 0;
  Fault call_fault, host_fault, barrier_fault, flush_fault;
  VkResult result_of_fault = VK_SUCCESS;
  const char* failed = "";
  std::string hidden;
  bool look_for_hazards = true;
  HazardChecker hazards;
  bool keeps_transcript = false;
  std::vector<std::string> transcript;
  std::function<void(const Dispatch&)> kernel;
  std::function<Pattern(const Dispatch&, uint32_t)> pattern;
  // Modules read before, by where their words lie, how many they are and a few of them.
  struct Known {
    uint32_t sum;
    Shader shader;
  };
  std::map<std::pair<const uint32_t*, size_t>, Known> shaders;

  void complain(std::string sentence);
  void complain(const char* call, const std::string& what);

  // The object of a handle, or null with a complaint where it is none, is gone, or is another kind.
  template <typename T, typename Handle>
  T* use(const char* call, Handle handle) {
    return static_cast<T*>(checked(call, object_of(handle), T::kKind));
  }

  // A new object with host memory of the callbacks', or null where they have none left.
  template <typename T>
  T* make(Object* parent, const VkAllocationCallbacks* callbacks, size_t host_bytes,
          VkSystemAllocationScope scope = VK_SYSTEM_ALLOCATION_SCOPE_OBJECT) {
    auto object = std::make_unique<T>();
    object->kind = T::kKind;
    return static_cast<T*>(adopt(std::move(object), parent, callbacks, host_bytes, scope));
  }

  // Host memory for an object beyond what it was made with.
  bool grow(Object* object, size_t host_bytes, VkSystemAllocationScope scope);

  // Ends an object. `callbacks` are those of the destroying call, where there is one.
  void end(const char* call, Object* object, const VkAllocationCallbacks* callbacks);
  void end_children(const char* call, Object* parent, Kind kind);

  // vkDestroy...: null handles are nothing. The object while it is still whole, or null.
  template <typename T, typename Handle>
  T* destroy(const char* call, Handle handle, const VkAllocationCallbacks* callbacks) {
    if (object_of(handle) == nullptr) return nullptr;
    T* const object = use<T>(call, handle);
    if (object != nullptr) end(call, object, callbacks);
    return object;
  }

  // Runs all that was submitted.
  void run_queue();

  bool has(uint32_t feature) const { return (caps.features & feature) != 0; }

 private:
  Object* checked(const char* call, Object* object, Kind kind);
  Object* adopt(std::unique_ptr<Object> object, Object* parent,
                const VkAllocationCallbacks* callbacks, size_t host_bytes,
                VkSystemAllocationScope scope);
};

// Where a call has no other way of saying that it was misused.
inline constexpr VkResult kMisused = VK_ERROR_VALIDATION_FAILED_EXT;

template <typename Handle>
Driver& driver_of(Handle handle) {
  return *object_of(handle)->driver;
}

}  // namespace nbl::fake
