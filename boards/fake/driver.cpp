#include "boards/fake/driver.h"

#include <cstring>

namespace nbl::fake {

const char* name_of(Kind kind) {
  constexpr const char* kNames[] = {
      "instance",       "physical device", "device",          "queue",          "memory",
      "buffer",         "image",           "image view",      "set layout",     "descriptor pool",
      "descriptor set", "shader module",   "pipeline layout", "pipeline cache", "pipeline",
      "command pool",   "command buffer",  "query pool",      "fence"};
  return kNames[static_cast<size_t>(kind)];
}

void Driver::complain(std::string sentence) {
  if (said.insert(sentence).second) complaints.push_back(std::move(sentence));
}

void Driver::complain(const char* call, const std::string& what) {
  complain(std::string(call) + ": " + what);
}

Object* Driver::checked(const char* call, Object* object, Kind kind) {
  if (object == nullptr) {
    complain(call, std::string("the ") + name_of(kind) + " is null");
    return nullptr;
  }
  if (object->kind != kind) {
    complain(call, std::string("a ") + name_of(object->kind) + " is given for a " + name_of(kind));
    return nullptr;
  }
  if (!object->alive) {
    complain(call, std::string("the ") + name_of(kind) + " has been destroyed");
    return nullptr;
  }
  return object;
}

Object* Driver::adopt(std::unique_ptr<Object> object, Object* parent,
                      const VkAllocationCallbacks* callbacks, size_t host_bytes,
                      VkSystemAllocationScope scope) {
  object->driver = this;
  object->parent = parent;
  if (callbacks != nullptr) object->callbacks = *callbacks;
  if (callbacks == nullptr) ++without_callbacks;
  if (!grow(object.get(), host_bytes, scope)) return nullptr;
  objects.push_back(std::move(object));
  return objects.back().get();
}

bool Driver::grow(Object* object, size_t host_bytes, VkSystemAllocationScope scope) {
  constexpr size_t kAlign = 16;
  const VkAllocationCallbacks& callbacks = object->callbacks;
  if (callbacks.pfnAllocation == nullptr || host_bytes == 0) return true;
  if (host_fault.strikes()) return false;
  void* const block = callbacks.pfnAllocation(callbacks.pUserData, host_bytes, kAlign, scope);
  if (block == nullptr) return false;
  if (reinterpret_cast<uintptr_t>(block) % kAlign != 0) {
    complain("pfnAllocation", "the memory is not aligned to " + std::to_string(kAlign) + " bytes");
  }
  std::memset(block, 0xa5, host_bytes);
  object->host_blocks.push_back(block);
  return true;
}

void Driver::end(const char* call, Object* object, const VkAllocationCallbacks* callbacks) {
  const std::string the = std::string("the ") + name_of(object->kind);
  for (const Submission& submission : queue) {
    bool used = submission.fence == object;
    for (CommandBuffer* buffer : submission.buffers)
      used |= buffer == object || buffer->uses.contains(object);
    if (used) complain(call, the + " is used by a submit that nobody has waited for");
  }
  const bool made_with = object->callbacks.pfnAllocation != nullptr;
  if (made_with != (callbacks != nullptr) ||
      (made_with && callbacks->pUserData != object->callbacks.pUserData)) {
    complain(call, the + " was made with other allocation callbacks");
  }
  for (void* block : object->host_blocks)
    object->callbacks.pfnFree(object->callbacks.pUserData, block);
  object->host_blocks.clear();
  object->alive = false;
}

void Driver::end_children(const char* call, Object* parent, Kind kind) {
  for (const auto& object : objects) {
    if (!object->alive || object->parent != parent || object->kind != kind) continue;
    const VkAllocationCallbacks callbacks = object->callbacks;
    end(call, object.get(), callbacks.pfnAllocation == nullptr ? nullptr : &callbacks);
  }
}

void FakeVulkan::forget() {
  const Caps caps = driver_->caps;
  Driver fresh;
  fresh.caps = caps;
  fresh.slot = slot_;
  fresh.shaders = std::move(driver_->shaders);
  fresh.kernel = std::move(driver_->kernel);
  fresh.pattern = std::move(driver_->pattern);
  fresh.look_for_hazards = driver_->look_for_hazards;
  *driver_ = std::move(fresh);
}

const std::vector<std::string>& FakeVulkan::complaints() const {
  return driver_->complaints;
}

std::string FakeVulkan::alive() const {
  std::map<std::string, uint32_t> counts;
  for (const auto& object : driver_->objects) {
    if (object->alive) ++counts[name_of(object->kind)];
  }
  std::string text;
  for (const auto& [name, count] : counts)
    text += name + ": " + std::to_string(count) + "\n";
  return text;
}

const std::vector<const char*>& FakeVulkan::calls() const {
  return driver_->calls;
}
const std::vector<std::string>& FakeVulkan::transcript() const {
  return driver_->transcript;
}
void FakeVulkan::keep_transcript() {
  driver_->keeps_transcript = true;
}
uint64_t FakeVulkan::device_bytes() const {
  return driver_->device_bytes;
}
uint64_t FakeVulkan::peak_device_bytes() const {
  return driver_->peak_device_bytes;
}
uint64_t FakeVulkan::host_allocations() const {
  return driver_->host_fault.count;
}
uint64_t FakeVulkan::without_callbacks() const {
  return driver_->without_callbacks;
}
uint32_t FakeVulkan::barriers() const {
  return static_cast<uint32_t>(driver_->barrier_fault.count);
}
uint32_t FakeVulkan::flushes() const {
  return static_cast<uint32_t>(driver_->flush_fault.count);
}
uint64_t FakeVulkan::cache_bytes() const {
  return driver_->cache_bytes;
}
uint32_t FakeVulkan::submits() const {
  return driver_->submits;
}

void FakeVulkan::fail_call(uint64_t call, VkResult result) {
  driver_->call_fault.at = call;
  driver_->result_of_fault = result;
}
const char* FakeVulkan::failed() const {
  return driver_->failed;
}
void FakeVulkan::fail_host_allocation(uint64_t allocation) {
  driver_->host_fault.at = allocation;
}
void FakeVulkan::drop_barrier(uint32_t barrier) {
  driver_->barrier_fault.at = barrier;
}
void FakeVulkan::drop_flush(uint32_t flush) {
  driver_->flush_fault.at = flush;
}
void FakeVulkan::hide(const std::string& function) {
  driver_->hidden = function;
}
void FakeVulkan::leave_bytes(uint64_t bytes) {
  driver_->bytes_left = bytes;
}
void FakeVulkan::look_for_hazards(bool yes) {
  driver_->look_for_hazards = yes;
}
void FakeVulkan::stand_in(std::function<void(const Dispatch&)> kernel) {
  driver_->kernel = std::move(kernel);
}
void FakeVulkan::refine(std::function<Pattern(const Dispatch&, uint32_t)> pattern) {
  driver_->pattern = std::move(pattern);
}

}  // namespace nbl::fake
