#include "rt/vk/matrix.h"

#include <cstring>

#include "rt/base/checked.h"

namespace nbl {
namespace {

// The structures that Vulkan fills are large: these functions keep them out of their callers'
// frames.
#define NBL_OWN_FRAME [[gnu::noinline]]

// Both extensions number component types and scopes alike.
template <typename Shape>
bool is_f16_to_f32(const Shape& s, uint32_t result) {
  return s.scope == VK_SCOPE_SUBGROUP_NV && s.AType == VK_COMPONENT_TYPE_FLOAT16_NV &&
         s.BType == VK_COMPONENT_TYPE_FLOAT16_NV && s.CType == VK_COMPONENT_TYPE_FLOAT32_NV &&
         result == VK_COMPONENT_TYPE_FLOAT32_NV;
}

// The shapes that the device lists, as many as there is room for.
template <typename Shape, typename Query>
std::span<const Shape> list_shapes(Query query, VkPhysicalDevice device, VkStructureType type,
                                   std::span<std::byte> scratch) {
  if (query == nullptr) return {};
  const auto start = reinterpret_cast<uintptr_t>(scratch.data());
  const size_t skipped = align_up(start, uintptr_t{alignof(Shape)}) - start;
  auto* const shapes = reinterpret_cast<Shape*>(scratch.data() + skipped);
  auto count = static_cast<uint32_t>((scratch.size() - skipped) / sizeof(Shape));
  memset(shapes, 0, count * sizeof(Shape));
  for (uint32_t i = 0; i < count; ++i)
    shapes[i].sType = type;
  const VkResult result = query(device, &count, shapes);
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) return {};
  return {shapes, count};
}

void read_shapes_nv(const Functions& functions, VkPhysicalDevice device,
                    std::span<std::byte> scratch, Caps* caps) {
  if (caps->subgroup_size != 32) return;
  for (const auto& s : list_shapes<VkCooperativeMatrixPropertiesNV>(
           functions.GetPhysicalDeviceCooperativeMatrixPropertiesNV, device,
           VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV, scratch)) {
    if (s.MSize == 16 && s.NSize == 16 && s.KSize == 16 && is_f16_to_f32(s, s.DType)) {
      caps->features |= kCooperativeMatrix;
    }
  }
}

// The largest of the shapes that the kernels take.
void read_shapes_khr(const Functions& functions, VkPhysicalDevice device,
                     std::span<std::byte> scratch, Caps* caps) {
  for (const auto& s : list_shapes<VkCooperativeMatrixPropertiesKHR>(
           functions.GetPhysicalDeviceCooperativeMatrixPropertiesKHR, device,
           VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR, scratch)) {
    if (!is_f16_to_f32(s, s.ResultType) || s.saturatingAccumulation != VK_FALSE) continue;
    if (!kernels_take_matrix(s.MSize, s.NSize, s.KSize)) continue;
    if (s.MSize * s.NSize * s.KSize <= caps->matrix_m * caps->matrix_n * caps->matrix_k) continue;
    caps->features |= kCooperativeMatrixKhr;
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

// Chains the structures that `which` asks for, without their values.
const void* link_all(const MatrixExtensions& which, MatrixFeatures* f, const void* chain) {
  link(&f->memory_model, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, &chain);
  if (which.nv) {
    link(&f->nv, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV, &chain);
  }
  if (which.khr) {
    link(&f->khr, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, &chain);
    link(&f->subgroup_size, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
         &chain);
  }
  return chain;
}

}  // namespace

NBL_OWN_FRAME void read_matrices(const Functions& functions, VkPhysicalDevice device,
                                 const MatrixExtensions& extensions, std::span<std::byte> scratch,
                                 Caps* caps) {
  // The memory model is what the compiled modules ask for; factors are f16. With it on, atomics of
  // the other kernels, whose scope is the device, want that feature too.
  if (!extensions.memory_model || (caps->features & kFloat16) == 0) return;
  MatrixExtensions known = extensions;
  known.khr = known.khr && known.subgroup_size_control;
  MatrixFeatures f{};
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = const_cast<void*>(link_all(known, &f, nullptr));
  functions.GetPhysicalDeviceFeatures2(device, &features);
  if (!f.memory_model.vulkanMemoryModel || !f.memory_model.vulkanMemoryModelDeviceScope) return;
  if (f.nv.cooperativeMatrix) read_shapes_nv(functions, device, scratch, caps);
  if ((caps->features & kCooperativeMatrix) != 0) return;
  if (f.khr.cooperativeMatrix && f.subgroup_size.subgroupSizeControl &&
      f.subgroup_size.computeFullSubgroups && sets_subgroup_size(functions, device)) {
    read_shapes_khr(functions, device, scratch, caps);
  }
}

void add_matrices(const Caps& caps, MatrixFeatures* f, const char** extensions,
                  VkDeviceCreateInfo* info) {
  const MatrixExtensions which{.nv = (caps.features & kCooperativeMatrix) != 0,
                               .khr = (caps.features & kCooperativeMatrixKhr) != 0,
                               .memory_model = true,
                               .subgroup_size_control = false};
  if (!which.nv && !which.khr) return;
  *f = {};
  f->nv.cooperativeMatrix = f->khr.cooperativeMatrix = VK_TRUE;
  f->float16.shaderFloat16 = VK_TRUE;
  f->memory_model.vulkanMemoryModel = f->memory_model.vulkanMemoryModelDeviceScope = VK_TRUE;
  f->subgroup_size.subgroupSizeControl = f->subgroup_size.computeFullSubgroups = VK_TRUE;
  info->pNext = link_all(which, f, info->pNext);
  link(&f->float16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, &info->pNext);
  const char** next = extensions + info->enabledExtensionCount;
  if (which.nv) *next++ = VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME;
  if (which.khr) {
    *next++ = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    *next++ = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
  }
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
