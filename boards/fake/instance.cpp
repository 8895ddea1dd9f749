// The instance and what a physical device says of itself: all of it from Caps.
#include <cstring>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"
#include "boards/fake/reports.h"

namespace nbl::fake {
namespace {

std::vector<const char*> extensions_of(const Driver& driver) {
  std::vector<const char*> names;
  const bool old = driver.caps.api_version < VK_API_VERSION_1_2;
  if (driver.has(kHostImport)) names.push_back(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  if (driver.has(kIntegerDot)) names.push_back(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
  if (driver.caps.cores != 0) names.push_back(VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME);
  if (driver.has(kCooperativeMatrix)) {
    names.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    names.push_back(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
  }
  if (old && driver.has(kFloat16)) names.push_back(VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
  if (old && driver.has(kStorage8)) names.push_back(VK_KHR_8BIT_STORAGE_EXTENSION_NAME);
  if (old && driver.has(kCooperativeMatrix)) {
    names.push_back(VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
  }
  return names;
}

// An array of Vulkan's way of asking twice: with no array for the count, then with one.
template <typename T, typename Fill>
VkResult hand_out(uint32_t available, uint32_t* count, T* items, const Fill& fill) {
  if (items == nullptr) {
    *count = available;
    return VK_SUCCESS;
  }
  const uint32_t some = *count < available ? *count : available;
  for (uint32_t i = 0; i < some; ++i)
    fill(i, &items[i]);
  *count = some;
  return some < available ? VK_INCOMPLETE : VK_SUCCESS;
}

template <typename T>
T* as(VkBaseOutStructure* link) {
  return reinterpret_cast<T*>(link);
}

void fill_link(const Caps& caps, VkBaseOutStructure* link) {
  const auto yes = [&caps](uint32_t feature) -> VkBool32 {
    return (caps.features & feature) != 0 ? VK_TRUE : VK_FALSE;
  };
  switch (static_cast<uint32_t>(link->sType)) {  // values that old headers lack
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES: {
      auto* const subgroup = as<VkPhysicalDeviceSubgroupProperties>(link);
      subgroup->subgroupSize = caps.subgroup_size;
      subgroup->supportedStages = VK_SHADER_STAGE_COMPUTE_BIT;
      subgroup->supportedOperations = reported_subgroup_operations(caps.features);
      break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES:
      as<VkPhysicalDeviceMaintenance3Properties>(link)->maxMemoryAllocationSize =
          caps.max_allocation_bytes;
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT:
      as<VkPhysicalDeviceExternalMemoryHostPropertiesEXT>(link)->minImportedHostPointerAlignment =
          caps.import_align_bytes;
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV: {
      auto* const sm = as<VkPhysicalDeviceShaderSMBuiltinsPropertiesNV>(link);
      sm->shaderSMCount = caps.cores;
      sm->shaderWarpsPerSM = caps.cores == 0 ? 0 : caps.lanes / caps.cores / 32;
      break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES:
      as<VkPhysicalDeviceShaderIntegerDotProductProperties>(link)
          ->integerDotProduct4x8BitPackedSignedAccelerated = yes(kIntegerDot);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
      as<VkPhysicalDevice16BitStorageFeatures>(link)->storageBuffer16BitAccess = yes(kStorage16);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES:
      as<VkPhysicalDevice8BitStorageFeatures>(link)->storageBuffer8BitAccess = yes(kStorage8);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
      as<VkPhysicalDeviceShaderFloat16Int8Features>(link)->shaderFloat16 = yes(kFloat16);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
      as<VkPhysicalDeviceShaderIntegerDotProductFeatures>(link)->shaderIntegerDotProduct =
          yes(kIntegerDot);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES: {
      auto* const model = as<VkPhysicalDeviceVulkanMemoryModelFeatures>(link);
      model->vulkanMemoryModel = model->vulkanMemoryModelDeviceScope = yes(kCooperativeMatrix);
      break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR:
      as<VkPhysicalDeviceCooperativeMatrixFeaturesKHR>(link)->cooperativeMatrix =
          yes(kCooperativeMatrix);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES: {
      auto* const control = as<VkPhysicalDeviceSubgroupSizeControlFeatures>(link);
      control->subgroupSizeControl = control->computeFullSubgroups = yes(kCooperativeMatrix);
      break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES: {
      auto* const control = as<VkPhysicalDeviceSubgroupSizeControlProperties>(link);
      control->minSubgroupSize = control->maxSubgroupSize = caps.subgroup_size;
      control->requiredSubgroupSizeStages = VK_SHADER_STAGE_COMPUTE_BIT;
      break;
    }
    default:
      break;
  }
}

void fill_chain(const Caps& caps, void* links) {
  for (auto* link = static_cast<VkBaseOutStructure*>(links); link != nullptr; link = link->pNext)
    fill_link(caps, link);
}

}  // namespace

VKAPI_ATTR void VKAPI_CALL DestroyInstance(VkInstance instance,
                                           const VkAllocationCallbacks* callbacks) {
  if (instance == VK_NULL_HANDLE) return;
  Driver& driver = driver_of(instance);
  auto* const object = driver.use<Instance>("vkDestroyInstance", instance);
  if (object == nullptr) return;
  for (const auto& other : driver.objects) {
    if (!other->alive || other->parent != object) continue;
    if (other->kind == Kind::physical_device)
      other->alive = false;
    else
      driver.complain("vkDestroyInstance", std::string("a ") + name_of(other->kind) + " is left");
  }
  driver.end("vkDestroyInstance", object, callbacks);
}

VKAPI_ATTR VkResult VKAPI_CALL EnumeratePhysicalDevices(VkInstance instance, uint32_t* count,
                                                        VkPhysicalDevice* devices) {
  Driver& driver = driver_of(instance);
  auto* const object = driver.use<Instance>("vkEnumeratePhysicalDevices", instance);
  if (object == nullptr) return kMisused;
  Object* physical = nullptr;
  for (const auto& other : driver.objects) {
    if (other->kind == Kind::physical_device && other->parent == object) physical = other.get();
  }
  return hand_out(1, count, devices, [physical](uint32_t, VkPhysicalDevice* device) {
    *device = handle_of<VkPhysicalDevice>(physical);
  });
}

VKAPI_ATTR VkResult VKAPI_CALL EnumerateDeviceExtensionProperties(VkPhysicalDevice physical,
                                                                  const char*, uint32_t* count,
                                                                  VkExtensionProperties* out) {
  const std::vector<const char*> names = extensions_of(driver_of(physical));
  return hand_out(static_cast<uint32_t>(names.size()), count, out,
                  [&names](uint32_t i, VkExtensionProperties* properties) {
                    *properties = {};
                    std::strncpy(properties->extensionName, names[i],
                                 sizeof properties->extensionName - 1);
                  });
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties(VkPhysicalDevice physical,
                                                       VkPhysicalDeviceProperties* out) {
  const Caps& caps = driver_of(physical).caps;
  *out = {};
  out->apiVersion = caps.api_version;
  out->driverVersion = caps.driver_version;
  out->vendorID = caps.vendor_id;
  out->deviceID = caps.device_id;
  out->deviceType = reported_type(caps.kind);
  std::memcpy(out->deviceName, caps.name, sizeof caps.name);
  std::memset(out->pipelineCacheUUID, 0x5a, sizeof out->pipelineCacheUUID);
  VkPhysicalDeviceLimits& limits = out->limits;
  limits.maxImageDimension2D = caps.max_image_dim;
  limits.maxStorageBufferRange = static_cast<uint32_t>(caps.max_storage_range_bytes);
  limits.maxPushConstantsSize = caps.max_push_bytes;
  limits.maxMemoryAllocationCount = 4096;
  limits.maxBoundDescriptorSets = 4;
  limits.maxPerStageDescriptorStorageBuffers = caps.max_storage_buffers;
  limits.maxDescriptorSetStorageBuffers = caps.max_storage_buffers;
  limits.maxComputeSharedMemorySize = caps.max_shared_bytes;
  limits.maxComputeWorkGroupInvocations = caps.max_invocations;
  for (uint32_t axis = 0; axis < 3; ++axis) {
    limits.maxComputeWorkGroupCount[axis] = caps.max_grid[axis];
    limits.maxComputeWorkGroupSize[axis] = axis == 0 ? caps.max_workgroup_x : 64;
  }
  limits.minMemoryMapAlignment = 64;
  limits.minStorageBufferOffsetAlignment = caps.storage_align_bytes;
  limits.nonCoherentAtomSize = caps.noncoherent_atom_bytes;
  limits.timestampPeriod = caps.timestamp_period_ns;
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties2(VkPhysicalDevice physical,
                                                        VkPhysicalDeviceProperties2* out) {
  GetPhysicalDeviceProperties(physical, &out->properties);
  fill_chain(driver_of(physical).caps, out->pNext);
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceFeatures2(VkPhysicalDevice physical,
                                                      VkPhysicalDeviceFeatures2* out) {
  out->features = {};
  fill_chain(driver_of(physical).caps, out->pNext);
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceMemoryProperties(
    VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties* out) {
  const Caps& caps = driver_of(physical).caps;
  *out = {};
  out->memoryTypeCount = caps.memory_type_count;
  for (uint32_t i = 0; i < caps.memory_type_count; ++i) {
    out->memoryTypes[i] = {reported_memory(caps.memory_types[i].flags), caps.memory_types[i].heap};
  }
  out->memoryHeapCount = caps.memory_heap_count;
  for (uint32_t i = 0; i < caps.memory_heap_count; ++i)
    out->memoryHeaps[i].size = caps.memory_heap_bytes[i];
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice physical,
                                                                  uint32_t* count,
                                                                  VkQueueFamilyProperties* out) {
  const Caps& caps = driver_of(physical).caps;
  (void)hand_out(1, count, out, [&caps](uint32_t, VkQueueFamilyProperties* family) {
    *family = {};
    family->queueFlags = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT;
    family->queueCount = 1;
    family->timestampValidBits = caps.timestamp_bits;
  });
}

// A shape of another type comes first, as drivers have it that list many, and that of
// kCooperativeMatrixN8 last.
VKAPI_ATTR VkResult VKAPI_CALL GetPhysicalDeviceCooperativeMatrixPropertiesKHR(
    VkPhysicalDevice physical, uint32_t* count, VkCooperativeMatrixPropertiesKHR* out) {
  const Driver& driver = driver_of(physical);
  const uint32_t shapes = !driver.has(kCooperativeMatrix)    ? 0
                          : driver.has(kCooperativeMatrixN8) ? 3
                                                             : 2;
  return hand_out(shapes, count, out, [&](uint32_t i, VkCooperativeMatrixPropertiesKHR* shape) {
    shape->MSize = i == 2 ? 16 : driver.caps.matrix_m;
    shape->NSize = i == 2 ? 8 : driver.caps.matrix_n;
    shape->KSize = i == 0 ? 2 * driver.caps.matrix_k : i == 2 ? 16 : driver.caps.matrix_k;
    shape->AType = shape->BType = VK_COMPONENT_TYPE_FLOAT16_KHR;
    shape->CType = shape->ResultType =
        i == 0 ? VK_COMPONENT_TYPE_FLOAT16_KHR : VK_COMPONENT_TYPE_FLOAT32_KHR;
    shape->scope = VK_SCOPE_SUBGROUP_KHR;
  });
}

}  // namespace nbl::fake
