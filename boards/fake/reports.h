// How Vulkan says what Caps hold, for drivers that are made from them.
#pragma once

#include "rt/kernels/caps.h"
#include "rt/vk/functions.h"

namespace nbl::fake {

inline VkPhysicalDeviceType reported_type(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::integrated:
      return VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    case DeviceKind::discrete:
      return VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    case DeviceKind::virtual_gpu:
      return VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU;
    case DeviceKind::cpu:
      return VK_PHYSICAL_DEVICE_TYPE_CPU;
    default:
      return VK_PHYSICAL_DEVICE_TYPE_OTHER;
  }
}

// `flags` and `features` as in Caps.
inline VkMemoryPropertyFlags reported_memory(uint32_t flags) {
  VkMemoryPropertyFlags out = 0;
  if ((flags & kDeviceLocal) != 0) out |= VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  if ((flags & kHostVisible) != 0) out |= VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
  if ((flags & kHostCoherent) != 0) out |= VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  if ((flags & kHostCached) != 0) out |= VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  return out;
}

inline VkSubgroupFeatureFlags reported_subgroup_operations(uint32_t features) {
  VkSubgroupFeatureFlags out = VK_SUBGROUP_FEATURE_BASIC_BIT;
  if ((features & kSubgroupArithmetic) != 0) out |= VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
  if ((features & kSubgroupShuffle) != 0) out |= VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
  if ((features & kSubgroupVote) != 0) out |= VK_SUBGROUP_FEATURE_VOTE_BIT;
  if ((features & kSubgroupBallot) != 0) out |= VK_SUBGROUP_FEATURE_BALLOT_BIT;
  return out;
}

}  // namespace nbl::fake
