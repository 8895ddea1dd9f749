// The Vulkan functions of rt/vk/functions.def by number and name, and the text of a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <vector>

#include "rt/vk/functions.h"

namespace nbl::test {

enum VulkanId : size_t {
#define NBL_VK_LOADER(name) k##name,
#define NBL_VK_INSTANCE(name) k##name,
#define NBL_VK_DEVICE(name) k##name,
#define NBL_VK_OPTIONAL(name) k##name,
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
  kVulkanIdCount
};

// Without their vk prefix.
inline constexpr std::string_view kVulkanNames[kVulkanIdCount] = {
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

// Writes calls so that two runs which do the same have the same text: objects are numbered by type
// in the order of their making, and what outputs, next chains and memory addresses hold is left
// out.
class CallWriter {
 public:
  // Vulkan may give a new object the handle of one that is gone.
  template <typename Handle>
  void made(Handle handle) {
    Objects& objects = objects_[typeid(Handle)];
    objects.numbers[handle] = ++objects.count;
  }

  template <VulkanId id, typename... Args>
  std::string write(const std::tuple<Args...>& args) {
    std::string text = "vk" + std::string(kVulkanNames[id]) + "(";
    std::apply([&](const auto&... each) { ((text += value(each) + " "), ...); }, args);
    arrays<id>(args, &text);
    if (text.back() == ' ') text.pop_back();
    return text + ")";
  }

 private:
  struct Objects {
    std::map<const void*, uint32_t> numbers;
    uint32_t count = 0;
  };

  template <typename T>
  static constexpr bool is_complete = requires {
    sizeof(T);
  };

  template <typename T>
  std::string value(const T& v) {
    if constexpr (std::is_enum_v<T>) {
      return std::to_string(static_cast<int64_t>(v));
    } else if constexpr (std::is_arithmetic_v<T>) {
      return std::to_string(v);
    } else if constexpr (std::is_same_v<T, const char*>) {
      return v == nullptr ? "null" : v;
    } else if constexpr (std::is_pointer_v<T>) {
      using Target = std::remove_pointer_t<T>;
      if constexpr (!std::is_void_v<Target> && !is_complete<Target>) return object(v);
      if constexpr (std::is_const_v<Target> && is_complete<Target>) {
        if constexpr (requires { fields(*v); }) return v == nullptr ? "null" : fields(*v);
      }
      return "*";
    } else {
      return "?";
    }
  }

  template <typename Handle>
  std::string object(Handle handle) {
    if (handle == nullptr) return "null";
    Objects& objects = objects_[typeid(Handle)];
    if (objects.numbers[handle] == 0) made(handle);
    return typeid(Handle).name() + ("#" + std::to_string(objects.numbers[handle]));
  }

  template <typename... Values>
  std::string list(const Values&... values) {
    std::string text = "{";
    ((text += value(values) + " "), ...);
    text.back() = '}';
    return text;
  }

  std::string fields(const VkBufferCreateInfo& i) { return list(i.flags, i.size, i.usage); }
  std::string fields(const VkMemoryAllocateInfo& i) {
    return list(i.allocationSize, i.memoryTypeIndex);
  }
  std::string fields(const VkCommandPoolCreateInfo& i) { return list(i.flags, i.queueFamilyIndex); }
  std::string fields(const VkCommandBufferAllocateInfo& i) {
    return list(i.commandPool, i.level, i.commandBufferCount);
  }
  std::string fields(const VkCommandBufferBeginInfo& i) { return list(i.flags); }
  std::string fields(const VkQueryPoolCreateInfo& i) { return list(i.queryType, i.queryCount); }
  std::string fields(const VkMemoryBarrier& b) { return list(b.srcAccessMask, b.dstAccessMask); }
  std::string fields(const VkBufferCopy& c) { return list(c.srcOffset, c.dstOffset, c.size); }
  std::string fields(const VkShaderModuleCreateInfo& i) { return list(i.flags, i.codeSize); }
  std::string fields(const VkDescriptorPoolCreateInfo& i) {
    return list(i.flags, i.maxSets) + array(i.poolSizeCount, i.pPoolSizes);
  }
  std::string fields(const VkDescriptorPoolSize& s) { return list(s.type, s.descriptorCount); }
  std::string fields(const VkDescriptorSetAllocateInfo& i) {
    return list(i.descriptorPool) + array(i.descriptorSetCount, i.pSetLayouts);
  }
  std::string fields(const VkDescriptorBufferInfo& i) { return list(i.buffer, i.offset, i.range); }
  std::string fields(const VkWriteDescriptorSet& w) {
    return list(w.dstSet, w.dstBinding, w.descriptorType) +
           (w.pBufferInfo == nullptr ? "" : array(w.descriptorCount, w.pBufferInfo));
  }
  std::string fields(const VkSpecializationInfo& i) {
    return array(i.dataSize / 4, static_cast<const uint32_t*>(i.pData));
  }
  std::string fields(const VkComputePipelineCreateInfo& i) {
    return list(i.flags, i.layout, i.stage.module, i.stage.pSpecializationInfo);
  }
  std::string fields(const VkSubmitInfo& s) {
    return list(s.waitSemaphoreCount, s.signalSemaphoreCount) +
           array(s.commandBufferCount, s.pCommandBuffers);
  }
  std::string fields(const VkDeviceCreateInfo& i) {
    return array(i.enabledExtensionCount, i.ppEnabledExtensionNames);
  }
  std::string fields(const VkMappedMemoryRange& r) { return list(r.memory, r.offset, r.size); }

  template <typename T>
  std::string array(size_t count, const T* items) {
    std::string text = "[";
    for (size_t i = 0; i < count; ++i) {
      if constexpr (std::is_class_v<T>) {
        text += fields(items[i]) + " ";
      } else {
        text += value(items[i]) + " ";
      }
    }
    return text + "]";
  }

  // What an argument in front of an array says the length of.
  template <VulkanId id, typename... Args>
  void arrays(const std::tuple<Args...>& a, std::string* text) {
    if constexpr (id == kCmdPipelineBarrier) *text += array(std::get<4>(a), std::get<5>(a));
    if constexpr (id == kCmdBindDescriptorSets) *text += array(std::get<4>(a), std::get<5>(a));
    if constexpr (id == kCmdCopyBuffer) *text += array(std::get<3>(a), std::get<4>(a));
    if constexpr (id == kQueueSubmit) *text += array(std::get<1>(a), std::get<2>(a));
    if constexpr (id == kUpdateDescriptorSets) *text += array(std::get<1>(a), std::get<2>(a));
    if constexpr (id == kWaitForFences) *text += array(std::get<1>(a), std::get<2>(a));
    if constexpr (id == kResetFences) *text += array(std::get<1>(a), std::get<2>(a));
    if constexpr (id == kCreateComputePipelines) *text += array(std::get<2>(a), std::get<3>(a));
    if constexpr (id == kCmdPushConstants) {
      *text += array(std::get<4>(a) / 4, static_cast<const uint32_t*>(std::get<5>(a)));
    }
  }

  std::map<std::type_index, Objects> objects_;
};

}  // namespace nbl::test
