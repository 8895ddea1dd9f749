// What the two halves of clamped_vulkan.h share: what a device reports, and what it holds one to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rt/kernels/caps.h"
#include "rt/vk/functions.h"
#include "tests/support/noncoherent_memory.h"

namespace nbl::test::clamped {

struct Allocation {
  uint64_t bytes = 0;
  uint32_t type = 0;
  bool imported = false;
  std::byte* device = nullptr;  // where the machine's driver has mapped it
  NoncoherentMemory copy;       // while mapped, of memory that is not coherent
};

struct State {
  Caps says, is;
  PFN_vkGetInstanceProcAddr get = nullptr;
  PFN_vkGetDeviceProcAddr get_device = nullptr;
  Functions real{};
  uint32_t enabled = 0;  // Feature
  uint32_t machine_types[kMaxMemoryTypes] = {};
  std::map<VkDeviceMemory, Allocation> memory;
  std::map<VkShaderModule, std::vector<uint32_t>> modules;
  uint64_t heap_bytes[kMaxMemoryHeaps] = {};
  uint64_t peak_bytes[kMaxMemoryHeaps] = {};
  uint64_t flushes = 0;
  uint64_t invalidations = 0;
  std::vector<std::string> broken;
};
inline State state;

// Returns true where the limit holds.
inline bool within(uint64_t value, uint64_t limit, const char* what) {
  if (value <= limit) return true;
  const std::string text =
      std::string(what) + ": " + std::to_string(value) + " of " + std::to_string(limit);
  const auto same_kind = [&](const std::string& other) { return other.starts_with(what); };
  if (std::none_of(state.broken.begin(), state.broken.end(), same_kind))
    state.broken.push_back(text);
  return false;
}
inline bool allowed(bool yes, const char* what) {
  return within(yes ? 0 : 1, 0, what);
}

template <typename Link, typename Visit>
void with_link(const void* chain, VkStructureType type, const Visit& visit) {
  auto* link = static_cast<VkBaseOutStructure*>(const_cast<void*>(chain));
  for (; link != nullptr; link = link->pNext)
    if (link->sType == type) visit(reinterpret_cast<Link*>(link));
}

inline bool says(uint32_t feature) {
  return (state.says.features & feature) != 0;
}

// Calls visit(VkBool32*, Feature) for every feature of a chain that the runtime knows.
template <typename Visit>
void each_feature(const void* chain, const Visit& visit) {
  with_link<VkPhysicalDevice16BitStorageFeatures>(
      chain, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
      [&](auto* link) { visit(&link->storageBuffer16BitAccess, kStorage16); });
  with_link<VkPhysicalDevice8BitStorageFeatures>(
      chain, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
      [&](auto* link) { visit(&link->storageBuffer8BitAccess, kStorage8); });
  with_link<VkPhysicalDeviceShaderFloat16Int8Features>(
      chain, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
      [&](auto* link) { visit(&link->shaderFloat16, kFloat16); });
  with_link<VkPhysicalDeviceShaderIntegerDotProductFeatures>(
      chain, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
      [&](auto* link) { visit(&link->shaderIntegerDotProduct, kIntegerDot); });
  with_link<VkPhysicalDeviceCooperativeMatrixFeaturesKHR>(
      chain, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
      [&](auto* link) { visit(&link->cooperativeMatrix, kCooperativeMatrix); });
}

inline bool has_extension(std::string_view name) {
  if (name == VK_KHR_8BIT_STORAGE_EXTENSION_NAME) return says(kStorage8);
  if (name == VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME) return says(kFloat16);
  if (name == VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME) return says(kIntegerDot);
  if (name == VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME) return says(kHostImport);
  return false;
}

// The functions of an instance that report something, null for others. `found` is the machine's.
PFN_vkVoidFunction reporting_function(std::string_view wanted, PFN_vkVoidFunction found);

// Puts `own` before the function that was found, and keeps that one.
template <typename Function>
PFN_vkVoidFunction replace(PFN_vkVoidFunction found, Function own, Function* real) {
  if (found == nullptr) return nullptr;
  *real = reinterpret_cast<Function>(found);
  return reinterpret_cast<PFN_vkVoidFunction>(own);
}
#define NBL_REPLACE(name) \
  if (wanted == "vk" #name) return replace(found, &name, &state.real.name)

}  // namespace nbl::test::clamped
