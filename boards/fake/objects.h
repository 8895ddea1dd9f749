// What the fake's handles point to. An object stays where it is after its end, so that a call that
// still uses it is told apart from one that uses nothing.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "boards/fake/shader.h"
#include "rt/vk/functions.h"

namespace nbl::fake {

struct Driver;

enum class Kind : uint8_t {
  instance,
  physical_device,
  device,
  queue,
  memory,
  buffer,
  image,
  image_view,
  set_layout,
  descriptor_pool,
  descriptor_set,
  shader_module,
  pipeline_layout,
  pipeline_cache,
  pipeline,
  command_pool,
  command_buffer,
  query_pool,
  fence,
};
const char* name_of(Kind kind);

struct Object {
  Driver* driver = nullptr;
  Kind kind = Kind::instance;
  bool alive = true;
  Object* parent = nullptr;  // must not end before it
  VkAllocationCallbacks callbacks{};
  std::vector<void*> host_blocks;
  // As the call had them that made it.
  const VkAllocationCallbacks* made_with() const {
    return callbacks.pfnAllocation == nullptr ? nullptr : &callbacks;
  }
  virtual ~Object() = default;
};

struct Instance : Object {
  static constexpr Kind kKind = Kind::instance;
};
struct PhysicalDevice : Object {
  static constexpr Kind kKind = Kind::physical_device;
};
struct Queue : Object {
  static constexpr Kind kKind = Kind::queue;
};
struct Device : Object {
  static constexpr Kind kKind = Kind::device;
  Queue* queue = nullptr;
  std::vector<std::string> extensions;
  uint32_t features = 0;  // Feature, as enabled
};

struct Memory : Object {
  static constexpr Kind kKind = Kind::memory;
  uint64_t bytes = 0;
  uint32_t type = 0;
  uint32_t heap = 0;
  bool imported = false;
  bool mapped = false;
  bool coherent = true;
  std::unique_ptr<std::byte[]> own;
  std::byte* device_view = nullptr;
  // Not coherent: what the host sees, and what it was when the two were last made the same.
  std::unique_ptr<std::byte[]> host_view;
  std::unique_ptr<std::byte[]> agreed;
  bool device_wrote = false;  // since the host last invalidated
};

// A buffer or an image.
struct Resource : Object {
  uint64_t bytes = 0;
  uint64_t align = 0;
  uint32_t usage = 0;
  Memory* memory = nullptr;
  uint64_t offset = 0;
  std::byte* data() const { return memory->device_view + offset; }
};
struct Buffer : Resource {
  static constexpr Kind kKind = Kind::buffer;
  bool external = false;
};
struct Image : Resource {
  static constexpr Kind kKind = Kind::image;
  VkExtent3D extent{};
  VkImageLayout layout = VK_IMAGE_LAYOUT_UNDEFINED;
};
struct ImageView : Object {
  static constexpr Kind kKind = Kind::image_view;
  Image* image = nullptr;
};

struct SetLayout : Object {
  static constexpr Kind kKind = Kind::set_layout;
  std::vector<VkDescriptorType> types;  // by binding
};
struct DescriptorPool : Object {
  static constexpr Kind kKind = Kind::descriptor_pool;
  uint32_t sets_left = 0;
  std::map<VkDescriptorType, uint32_t> left;
};
struct Descriptor {
  Buffer* buffer = nullptr;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  ImageView* view = nullptr;
  VkImageLayout layout = VK_IMAGE_LAYOUT_UNDEFINED;
};
struct DescriptorSet : Object {
  static constexpr Kind kKind = Kind::descriptor_set;
  std::vector<VkDescriptorType> types;
  std::vector<Descriptor> descriptors;
  bool recorded = false;  // in a command buffer
};

struct ShaderModule : Object {
  static constexpr Kind kKind = Kind::shader_module;
  const uint32_t* words = nullptr;
  const Shader* shader = nullptr;  // the driver's
};
struct PipelineLayout : Object {
  static constexpr Kind kKind = Kind::pipeline_layout;
  std::vector<VkDescriptorType> types;
  uint32_t push_bytes = 0;
};
struct PipelineCache : Object {
  static constexpr Kind kKind = Kind::pipeline_cache;
};
struct Pipeline : Object {
  static constexpr Kind kKind = Kind::pipeline;
  const uint32_t* words = nullptr;
  const Shader* shader = nullptr;
  std::vector<VkDescriptorType> types;
  uint32_t push_bytes = 0;
  std::vector<uint32_t> spec;
};

struct CommandPool : Object {
  static constexpr Kind kKind = Kind::command_pool;
  VkCommandPoolCreateFlags flags = 0;
};

struct QueryPool : Object {
  static constexpr Kind kKind = Kind::query_pool;
  enum class State : uint8_t { unset, reset, written };
  std::vector<State> states;
  std::vector<uint64_t> ticks;
};
struct Fence : Object {
  static constexpr Kind kKind = Kind::fence;
  bool signaled = false;
  bool submitted = false;
};

// A handle is the object's address; 32-bit machines have it in an integer where Vulkan has no
// pointer type for it.
template <typename Handle>
Handle handle_of(Object* object) {
  if constexpr (std::is_pointer_v<Handle>)
    return reinterpret_cast<Handle>(object);
  else
    return static_cast<Handle>(reinterpret_cast<uintptr_t>(object));
}
template <typename Handle>
Object* object_of(Handle handle) {
  if constexpr (std::is_pointer_v<Handle>)
    return reinterpret_cast<Object*>(handle);
  else
    return reinterpret_cast<Object*>(static_cast<uintptr_t>(handle));
}

}  // namespace nbl::fake
