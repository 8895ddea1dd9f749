// Cooperative matrices: what a device has of them, and how they are turned on.
//
// Source  Vulkan specification, VK_KHR_cooperative_matrix.
#pragma once

#include <cstddef>
#include <span>

#include "rt/kernels/caps.h"
#include "rt/vk/functions.h"

namespace nbl {

struct MatrixExtensions {
  bool matrix;
  bool memory_model;
  bool subgroup_size_control;
};

// Sets kCooperativeMatrix with the shape, and kCooperativeMatrixN8. The other features and the
// subgroup size have been read. Leaves *caps where the device has no matrices that kernels take.
// scratch: room for the shapes that the driver lists; some list dozens.
void read_matrices(const Functions& functions, VkPhysicalDevice device,
                   const MatrixExtensions& extensions, std::span<std::byte> scratch, Caps* caps);

// What vkCreateDevice is given; has to live until then.
struct MatrixFeatures {
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
  VkPhysicalDeviceShaderFloat16Int8Features float16;
  VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
  VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size;
};
// Names that add_matrices() appends at most.
inline constexpr uint32_t kMostMatrixExtensions = 4;

// Chains the features behind kCooperativeMatrix to info, and appends their extensions to
// `extensions`, which info->ppEnabledExtensionNames is.
void add_matrices(const Caps& caps, MatrixFeatures* features, const char** extensions,
                  VkDeviceCreateInfo* info);

// Makes a pipeline of kernels on matrices have full subgroups of the size in `caps`,
// which its work-group was counted in. `size` has to live until the pipeline is created.
void pin_subgroup_size(const Caps& caps, VkPipelineShaderStageRequiredSubgroupSizeCreateInfo* size,
                       VkPipelineShaderStageCreateInfo* stage);

}  // namespace nbl
