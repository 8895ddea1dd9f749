#include "rt/vk/matrix.h"

#include <cstring>

#include "rt/base/checked.h"

namespace nbl {
namespace {

// The structures that Vulkan fills are large: these functions keep them out of their callers'
// frames.
#define NBL_OWN_FRAME [[gnu::noinline]]

bool is_f16_to_f32(const VkCooperativeMatrixPropertiesKHR& s) {
  return s.scope == VK_SCOPE_SUBGROUP_KHR && s.AType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
         s.BType == VK_COMPONENT_TYPE_FLOAT16_KHR && s.CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
         s.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && s.saturatingAccumulation == VK_FALSE;
}

// The shapes that the device lists, as many as there is room for.
std::span<const VkCooperativeMatrixPropertiesKHR> list_shapes(const Functions& functions,
                                                              VkPhysicalDevice device,
                                                              std::span<std::byte> scratch) {
  using Shape = VkCooperativeMatrixPropertiesKHR;
  const auto query = functions.GetPhysicalDeviceCooperativeMatrixPropertiesKHR;
  if (query == nullptr) return {};
  const auto start = reinterpret_cast<uintptr_t>(scratch.data());
  const size_t skipped = align_up(start, uintptr_t{alignof(Shape)}) - start;
  auto* const shapes = reinterpret_cast<Shape*>(scratch.data() + skipped);
  auto count = static_cast<uint32_t>((scratch.size() - skipped) / sizeof(Shape));
  memset(shapes, 0, count * sizeof(Shape));
  for (uint32_t i = 0; i < count; ++i)
    shapes[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
  const VkResult result = query(device, &count, shapes);
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) return {};
  return {shapes, count};
}

// The largest of the shapes that the kernels take, and whether chains have theirs.
void read_shapes(const Functions& functions, VkPhysicalDevice device, std::span<std::byte> scratch,
                 Caps* caps) {
  for (const auto& s : list_shapes(functions, device, scratch)) {
    if (!is_f16_to_f32(s) || !kernels_take_matrix(s.MSize, s.NSize, s.KSize)) continue;
    if (s.MSize == 16 && s.NSize == 8 && s.KSize == 16) caps->features |= kCooperativeMatrixN8;
    if (s.MSize * s.NSize * s.KSize <= caps->matrix_m * caps->matrix_n * caps->matrix_k) continue;
    caps->features |= kCooperativeMatrix;
    caps->matrix_m = s.MSize;
    caps->matrix_n = s.NSize;
    caps->matrix_k = s.KSize;
  }
}

// Whether pipelines of compute can be given a subgroup size.
NBL_OWN_FRAME bool sets_subgroup_size(const Functions& functions, VkPhysicalDevice device) {
  VkPhysicalDeviceSubgroupSizeControlProperties control{};
  control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  properties.pNext = &control;
  functions.GetPhysicalDeviceProperties2(device, &properties);
  return (control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
}

void link(void* structure, VkStructureType type, const void** chain) {
  auto* const head = static_cast<VkBaseInStructure*>(structure);
  head->sType = type;
  head->pNext = static_cast<const VkBaseInStructure*>(*chain);
  *chain = structure;
}

// Chains the structures, without their values.
const void* link_all(MatrixFeatures* f, const void* chain) {
  link(&f->memory_model, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, &chain);
  link(&f->matrix, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, &chain);
  link(&f->subgroup_size, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, &chain);
  return chain;
}

}  // namespace

NBL_OWN_FRAME void read_matrices(const Functions& functions, VkPhysicalDevice device,
                                 const MatrixExtensions& extensions, std::span<std::byte> scratch,
                                 Caps* caps) {
  // The memory model is what the compiled modules ask for; factors are f16. With it on, atomics of
  // the other kernels, whose scope is the device, want that feature too.
  if (!extensions.matrix || !extensions.memory_model || !extensions.subgroup_size_control) return;
  if ((caps->features & kFloat16) == 0) return;
  MatrixFeatures f{};
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = const_cast<void*>(link_all(&f, nullptr));
  functions.GetPhysicalDeviceFeatures2(device, &features);
  if (f.memory_model.vulkanMemoryModel && f.memory_model.vulkanMemoryModelDeviceScope &&
      f.matrix.cooperativeMatrix && f.subgroup_size.subgroupSizeControl &&
      f.subgroup_size.computeFullSubgroups && sets_subgroup_size(functions, device)) {
    read_shapes(functions, device, scratch, caps);
  }
}

void add_matrices(const Caps& caps, MatrixFeatures* f, const char** extensions,
                  VkDeviceCreateInfo* info) {
  if ((caps.features & kCooperativeMatrix) == 0) return;
  *f = {};
  f->matrix.cooperativeMatrix = VK_TRUE;
  f->float16.shaderFloat16 = VK_TRUE;
  f->memory_model.vulkanMemoryModel = f->memory_model.vulkanMemoryModelDeviceScope = VK_TRUE;
  f->subgroup_size.subgroupSizeControl = f->subgroup_size.computeFullSubgroups = VK_TRUE;
  info->pNext = link_all(f, info->pNext);
  link(&f->float16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, &info->pNext);
  const char** next = extensions + info->enabledExtensionCount;
  *next++ = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
  *next++ = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
  // Vulkan 1.2 took these into the core.
  if (caps.api_version < VK_API_VERSION_1_2) {
    *next++ = VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME;
    *next++ = VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME;
  }
  info->enabledExtensionCount = static_cast<uint32_t>(next - extensions);
}

void pin_subgroup_size(const Caps& caps, VkPipelineShaderStageRequiredSubgroupSizeCreateInfo* size,
                       VkPipelineShaderStageCreateInfo* stage) {
  *size = {};
  size->requiredSubgroupSize = caps.subgroup_size;
  link(size, VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
       &stage->pNext);
  stage->flags |= VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
}

}  // namespace nbl
