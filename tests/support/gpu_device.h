// The Vulkan device behind gpu.h: instance, device, queue and pipelines. Errors are exceptions.
#pragma once

#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/vk/functions.h"

namespace nbl::test {

inline void check(VkResult result, const char* what) {
  if (result != VK_SUCCESS) {
    throw std::runtime_error(std::string(what) + " failed: " + std::to_string(result));
  }
}

template <typename T>
T chained(VkStructureType type, void* next = nullptr) {
  T value{};
  value.sType = type;
  value.pNext = next;
  return value;
}

struct Pipeline {
  VkDescriptorSetLayout set_layout;
  VkPipelineLayout layout;
  VkPipeline pipeline;
};

// Members are public: gpu.cpp records commands with them. The Vulkan library stays open until exit.
class Device {
 public:
  Device();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Made on first use and kept.
  const Pipeline& pipeline_for(const KernelCall& call);

  Functions vk{};
  Caps caps{};
  VkDevice device = nullptr;
  VkQueue queue = nullptr;
  uint32_t family = 0;
  bool integer_dot = false;           // kernels of kIntegerDot run, accelerated or not
  bool gpu_assisted = false;          // the validation layer checks accesses of kernels
  std::vector<std::string> messages;  // of the validation layer
  std::map<uint16_t, std::span<const uint32_t>> stand_ins;  // words by variant

 private:
  void create_instance();
  void choose_device();
  void create_device();
  Pipeline create_pipeline(const KernelCall& call);

  bool validation_ = false;
  VkInstance instance_ = nullptr;
  VkDebugUtilsMessengerEXT messenger_ = nullptr;
  VkPhysicalDevice physical_ = nullptr;
  std::map<std::vector<uint32_t>, Pipeline> pipelines_;
};

}  // namespace nbl::test
