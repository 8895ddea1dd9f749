#include "rt/vk/caps.h"

#include <cstring>
#include <string_view>

#include "rt/base/checked.h"
#include "rt/vk/matrix.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

// The structures that Vulkan fills are large: each of these functions keeps its own out of its
// callers' frames, which stay under 1 KiB.
#define NBL_OWN_FRAME [[gnu::noinline]]

// More families than any device has; further ones are not looked at.
constexpr uint32_t kMaxQueueFamilies = 32;
// A tick that lasts longer than a second is a driver that says nonsense.
constexpr float kMostPeriodNs = 1e9f;

struct Extensions {
  bool integer_dot;
  bool host_import;
  bool sm_builtins;
  bool float16_int8;
  bool storage8;
  MatrixExtensions matrix;
};

DeviceKind kind_of(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return DeviceKind::integrated;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return DeviceKind::discrete;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return DeviceKind::virtual_gpu;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return DeviceKind::cpu;
    default:
      return DeviceKind::other;
  }
}

// Vulkan 1.2 took some of these extensions into the core. The integer dot product is used as an
// extension: the instance is one of Vulkan 1.1.
Status read_extensions(const Functions& functions, VkPhysicalDevice device, uint32_t api_version,
                       std::span<VkExtensionProperties> scratch, Extensions* out, Error* error) {
  uint32_t count = static_cast<uint32_t>(scratch.size());
  const VkResult result =
      functions.EnumerateDeviceExtensionProperties(device, nullptr, &count, scratch.data());
  if (result != VK_INCOMPLETE) {
    NBL_TRY(translate(result, "vkEnumerateDeviceExtensionProperties", error));
  }
  out->float16_int8 = api_version >= VK_API_VERSION_1_2;
  out->storage8 = api_version >= VK_API_VERSION_1_2;
  out->matrix.memory_model = api_version >= VK_API_VERSION_1_2;
  for (const VkExtensionProperties& entry : scratch.first(count)) {
    const std::string_view name(entry.extensionName);
    if (name == VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME) out->integer_dot = true;
    if (name == VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME) out->host_import = true;
    if (name == VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME) out->sm_builtins = true;
    if (name == VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME) out->float16_int8 = true;
    if (name == VK_KHR_8BIT_STORAGE_EXTENSION_NAME) out->storage8 = true;
    if (name == VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME) out->matrix.memory_model = true;
    if (name == VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) out->matrix.matrix = true;
    if (name == VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME) {
      out->matrix.subgroup_size_control = true;
    }
  }
  return {};
}

// Puts `link` at the head of a pNext chain where the device knows it.
template <typename Link>
void chain(bool known, Link* link, void** head) {
  if (!known) return;
  link->pNext = *head;
  *head = link;
}

uint32_t subgroup_features(const VkPhysicalDeviceSubgroupProperties& subgroup) {
  if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) == 0) return kNoFeatures;
  const VkSubgroupFeatureFlags ops = subgroup.supportedOperations;
  uint32_t features = kNoFeatures;
  if (ops & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT) features |= kSubgroupArithmetic;
  if (ops & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) features |= kSubgroupShuffle;
  if (ops & VK_SUBGROUP_FEATURE_VOTE_BIT) features |= kSubgroupVote;
  if (ops & VK_SUBGROUP_FEATURE_BALLOT_BIT) features |= kSubgroupBallot;
  return features;
}

void read_limits(const VkPhysicalDeviceProperties& properties, Caps* caps) {
  const VkPhysicalDeviceLimits& limits = properties.limits;
  static_assert(sizeof caps->name <= sizeof properties.deviceName);
  memcpy(caps->name, properties.deviceName, sizeof caps->name - 1);
  caps->vendor_id = properties.vendorID;
  caps->device_id = properties.deviceID;
  caps->driver_version = properties.driverVersion;
  caps->api_version = properties.apiVersion;
  caps->kind = kind_of(properties.deviceType);
  caps->max_invocations = limits.maxComputeWorkGroupInvocations;
  caps->max_workgroup_x = limits.maxComputeWorkGroupSize[0];
  for (uint32_t axis = 0; axis < 3; ++axis) {
    caps->max_grid[axis] = limits.maxComputeWorkGroupCount[axis];
  }
  caps->max_shared_bytes = limits.maxComputeSharedMemorySize;
  caps->max_image_dim = limits.maxImageDimension2D;
  caps->max_push_bytes = limits.maxPushConstantsSize;
  caps->max_storage_buffers =
      min_of(limits.maxPerStageDescriptorStorageBuffers, limits.maxDescriptorSetStorageBuffers);
  caps->max_storage_range_bytes = limits.maxStorageBufferRange;
  caps->storage_align_bytes = static_cast<uint32_t>(limits.minStorageBufferOffsetAlignment);
  caps->noncoherent_atom_bytes = static_cast<uint32_t>(limits.nonCoherentAtomSize);
  caps->timestamp_period_ns = limits.timestampPeriod;
}

// Reads the limits and fills the structures linked from `links`.
NBL_OWN_FRAME void query_properties(const Functions& functions, VkPhysicalDevice device,
                                    void* links, Caps* caps) {
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  properties.pNext = links;
  functions.GetPhysicalDeviceProperties2(device, &properties);
  read_limits(properties.properties, caps);
}

void read_properties(const Functions& functions, VkPhysicalDevice device,
                     const Extensions& extensions, Caps* caps) {
  VkPhysicalDeviceSubgroupProperties subgroup{};
  subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
  VkPhysicalDeviceMaintenance3Properties maintenance{};
  maintenance.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
  VkPhysicalDeviceExternalMemoryHostPropertiesEXT import{};
  import.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT;
  VkPhysicalDeviceShaderSMBuiltinsPropertiesNV sm{};
  sm.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV;
  VkPhysicalDeviceShaderIntegerDotProductProperties dot{};
  dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES;
  void* links = nullptr;
  chain(true, &subgroup, &links);
  chain(true, &maintenance, &links);
  chain(extensions.host_import, &import, &links);
  chain(extensions.integer_dot, &dot, &links);
  chain(extensions.sm_builtins, &sm, &links);
  query_properties(functions, device, links, caps);

  caps->subgroup_size = subgroup.subgroupSize;
  caps->features |= subgroup_features(subgroup);
  caps->max_allocation_bytes = maintenance.maxMemoryAllocationSize;
  if (extensions.host_import) {
    caps->features |= kHostImport;
    caps->import_align_bytes = static_cast<uint32_t>(import.minImportedHostPointerAlignment);
  }
  if (dot.integerDotProduct4x8BitPackedSignedAccelerated) caps->features |= kIntegerDot;
  caps->lanes = sm.shaderSMCount * sm.shaderWarpsPerSM * 32;
  caps->cores = sm.shaderSMCount;
}

NBL_OWN_FRAME void read_features(const Functions& functions, VkPhysicalDevice device,
                                 const Extensions& extensions, Caps* caps) {
  VkPhysicalDevice16BitStorageFeatures storage16{};
  storage16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
  VkPhysicalDevice8BitStorageFeatures storage8{};
  storage8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES;
  VkPhysicalDeviceShaderFloat16Int8Features float16{};
  float16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
  VkPhysicalDeviceShaderIntegerDotProductFeatures dot{};
  dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  chain(true, &storage16, &features.pNext);
  chain(extensions.storage8, &storage8, &features.pNext);
  chain(extensions.float16_int8, &float16, &features.pNext);
  chain(extensions.integer_dot, &dot, &features.pNext);
  functions.GetPhysicalDeviceFeatures2(device, &features);

  if (storage16.storageBuffer16BitAccess) caps->features |= kStorage16;
  if (storage8.storageBuffer8BitAccess) caps->features |= kStorage8;
  if (float16.shaderFloat16) caps->features |= kFloat16;
  if (!dot.shaderIntegerDotProduct) caps->features &= ~static_cast<uint32_t>(kIntegerDot);
}

NBL_OWN_FRAME void read_memory(const Functions& functions, VkPhysicalDevice device, Caps* caps) {
  VkPhysicalDeviceMemoryProperties memory;
  functions.GetPhysicalDeviceMemoryProperties(device, &memory);
  static_assert(kMaxMemoryTypes == VK_MAX_MEMORY_TYPES && kMaxMemoryHeaps == VK_MAX_MEMORY_HEAPS);
  caps->memory_type_count = min_of(memory.memoryTypeCount, kMaxMemoryTypes);
  for (uint32_t i = 0; i < caps->memory_type_count; ++i) {
    const VkMemoryPropertyFlags from = memory.memoryTypes[i].propertyFlags;
    uint32_t flags = 0;
    if (from & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) flags |= kDeviceLocal;
    if (from & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) flags |= kHostVisible;
    if (from & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) flags |= kHostCoherent;
    if (from & VK_MEMORY_PROPERTY_HOST_CACHED_BIT) flags |= kHostCached;
    caps->memory_types[i] = {flags, memory.memoryTypes[i].heapIndex};
  }
  caps->memory_heap_count = min_of(memory.memoryHeapCount, kMaxMemoryHeaps);
  for (uint32_t i = 0; i < caps->memory_heap_count; ++i) {
    caps->memory_heap_bytes[i] = memory.memoryHeaps[i].size;
  }
}

// What a driver does not tell of itself.
void apply_quirks(Caps* caps) {
  // Adreno reads weights through its texture units' cache, which buffers do not have.
  constexpr uint32_t kQualcomm = 0x5143;
  if (caps->vendor_id == kQualcomm) caps->features |= kTextureWeights;
}

// Rough figures of the middle of each class: they only decide how finely work is split.
void estimate(Caps* caps) {
  caps->dispatch_limit_us = 100000;
  switch (caps->kind) {
    case DeviceKind::cpu:
      caps->features |= kScalarLoads;
      caps->lanes = 64;
      caps->gigabytes_per_s = 3;
      caps->gigaflops = 6;
      break;
    case DeviceKind::discrete:
    case DeviceKind::virtual_gpu:
      if (caps->lanes == 0) caps->lanes = 65536;
      caps->gigabytes_per_s = 300;
      caps->gigaflops = 8000;
      break;
    default:
      if (caps->lanes == 0) caps->lanes = 4096;
      caps->gigabytes_per_s = 12;
      caps->gigaflops = 100;
      break;
  }
}

// The family to compute on and its timestamp bits; false where there is none.
NBL_OWN_FRAME bool find_family(const Functions& functions, VkPhysicalDevice device,
                               uint32_t* family, uint32_t* timestamp_bits) {
  VkQueueFamilyProperties families[kMaxQueueFamilies];
  uint32_t count = kMaxQueueFamilies;
  functions.GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
  bool found = false;
  for (uint32_t i = 0; i < count; ++i) {
    const VkQueueFlags flags = families[i].queueFlags;
    if ((flags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0) continue;
    const bool alone = (flags & VK_QUEUE_GRAPHICS_BIT) == 0;
    if (found && !alone) continue;
    *family = i;
    *timestamp_bits = families[i].timestampValidBits;
    found = true;
    if (alone) break;
  }
  return found;
}

NBL_OWN_FRAME uint32_t api_version_of(const Functions& functions, VkPhysicalDevice device) {
  VkPhysicalDeviceProperties properties;
  functions.GetPhysicalDeviceProperties(device, &properties);
  return properties.apiVersion;
}

}  // namespace

Status compute_queue_family(const Functions& functions, VkPhysicalDevice device, uint32_t* family,
                            Error* error) {
  uint32_t timestamp_bits = 0;
  if (find_family(functions, device, family, &timestamp_bits)) return {};
  return fail(error, Code::no_device, 0, "a compute queue", 1);
}

Status fill_caps(const Functions& functions, VkPhysicalDevice device,
                 std::span<VkExtensionProperties> scratch, Caps* caps, Error* error) {
  const uint32_t api_version = api_version_of(functions, device);
  Extensions extensions{};
  NBL_TRY(read_extensions(functions, device, api_version, scratch, &extensions, error));
  uint32_t family = 0, timestamp_bits = 0;
  if (!find_family(functions, device, &family, &timestamp_bits)) {
    return fail(error, Code::no_device, 0, "a compute queue", 1);
  }

  *caps = {};
  read_properties(functions, device, extensions, caps);
  read_features(functions, device, extensions, caps);
  read_matrices(functions, device, extensions.matrix, std::as_writable_bytes(scratch), caps);
  read_memory(functions, device, caps);
  caps->timestamp_bits = timestamp_bits;
  // Written so that a period that is no number is none.
  const bool ticks = caps->timestamp_period_ns > 0 && caps->timestamp_period_ns <= kMostPeriodNs;
  if (timestamp_bits != 0 && ticks) caps->features |= kTimestamps;
  apply_quirks(caps);
  estimate(caps);
  return {};
}

}  // namespace nbl
