// What the device of clamped_vulkan.h says of itself.
#include <algorithm>
#include <cstring>

#include "boards/fake/reports.h"
#include "tests/support/clamped_state.h"

namespace nbl::test::clamped {
namespace {

template <typename Value, typename Limit>
void at_most(Value* value, Limit limit) {
  *value = std::min(*value, static_cast<Value>(limit));
}

void clamp(VkPhysicalDeviceProperties* p) {
  const Caps& caps = state.says;
  std::memcpy(p->deviceName, caps.name, sizeof caps.name);
  p->vendorID = caps.vendor_id;
  p->deviceType = fake::reported_type(caps.kind);
  at_most(&p->apiVersion, caps.api_version);
  VkPhysicalDeviceLimits& l = p->limits;
  at_most(&l.maxComputeWorkGroupInvocations, caps.max_invocations);
  at_most(&l.maxComputeWorkGroupSize[0], caps.max_workgroup_x);
  for (uint32_t i = 0; i < 3; ++i)
    at_most(&l.maxComputeWorkGroupCount[i], caps.max_grid[i]);
  at_most(&l.maxComputeSharedMemorySize, caps.max_shared_bytes);
  at_most(&l.maxPushConstantsSize, caps.max_push_bytes);
  at_most(&l.maxPerStageDescriptorStorageBuffers, caps.max_storage_buffers);
  at_most(&l.maxDescriptorSetStorageBuffers, caps.max_storage_buffers);
  at_most(&l.maxStorageBufferRange, caps.max_storage_range_bytes);
  at_most(&l.maxImageDimension2D, caps.max_image_dim);
  l.minStorageBufferOffsetAlignment =
      std::max<VkDeviceSize>(l.minStorageBufferOffsetAlignment, caps.storage_align_bytes);
  l.nonCoherentAtomSize = caps.noncoherent_atom_bytes;
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties(VkPhysicalDevice device,
                                                       VkPhysicalDeviceProperties* out) {
  state.real.GetPhysicalDeviceProperties(device, out);
  clamp(out);
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties2(VkPhysicalDevice device,
                                                        VkPhysicalDeviceProperties2* out) {
  state.real.GetPhysicalDeviceProperties2(device, out);
  clamp(&out->properties);
  with_link<VkPhysicalDeviceSubgroupProperties>(
      out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, [](auto* link) {
        link->subgroupSize = state.says.subgroup_size;
        link->supportedOperations &= fake::reported_subgroup_operations(state.says.features);
      });
  with_link<VkPhysicalDeviceMaintenance3Properties>(
      out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
      [](auto* link) { at_most(&link->maxMemoryAllocationSize, state.says.max_allocation_bytes); });
  with_link<VkPhysicalDeviceExternalMemoryHostPropertiesEXT>(
      out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
      [](auto* link) {
        link->minImportedHostPointerAlignment = std::max<VkDeviceSize>(
            link->minImportedHostPointerAlignment, state.says.import_align_bytes);
      });
  // An emulated one does as well as one that is accelerated.
  with_link<VkPhysicalDeviceShaderIntegerDotProductProperties>(
      out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES,
      [](auto* link) {
        link->integerDotProduct4x8BitPackedSignedAccelerated =
            says(kIntegerDot) ? VK_TRUE : VK_FALSE;
      });
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceFeatures2(VkPhysicalDevice device,
                                                      VkPhysicalDeviceFeatures2* out) {
  state.real.GetPhysicalDeviceFeatures2(device, out);
  each_feature(out->pNext, [](VkBool32* value, uint32_t feature) {
    if (!says(feature)) *value = VK_FALSE;
  });
}

VKAPI_ATTR VkResult VKAPI_CALL EnumerateDeviceExtensionProperties(VkPhysicalDevice device,
                                                                  const char* layer,
                                                                  uint32_t* count,
                                                                  VkExtensionProperties* out) {
  uint32_t found = 0;
  VkResult result = state.real.EnumerateDeviceExtensionProperties(device, layer, &found, nullptr);
  if (result != VK_SUCCESS) return result;
  std::vector<VkExtensionProperties> all(found);
  result = state.real.EnumerateDeviceExtensionProperties(device, layer, &found, all.data());
  if (result != VK_SUCCESS) return result;
  std::erase_if(all, [](const auto& entry) { return !has_extension(entry.extensionName); });
  const uint32_t room = out == nullptr ? 0 : *count;
  *count = static_cast<uint32_t>(all.size());
  if (out == nullptr) return VK_SUCCESS;
  if (room < *count) *count = room;
  std::copy_n(all.begin(), *count, out);
  return room < all.size() ? VK_INCOMPLETE : VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL
GetPhysicalDeviceMemoryProperties(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties* out) {
  VkPhysicalDeviceMemoryProperties machine;
  state.real.GetPhysicalDeviceMemoryProperties(device, &machine);
  const Caps& caps = state.says;
  *out = {};
  out->memoryHeapCount = caps.memory_heap_count;
  for (uint32_t i = 0; i < caps.memory_heap_count; ++i)
    out->memoryHeaps[i] = {caps.memory_heap_bytes[i], 0};
  out->memoryTypeCount = caps.memory_type_count;
  for (uint32_t i = 0; i < caps.memory_type_count; ++i) {
    const MemoryType& type = caps.memory_types[i];
    out->memoryTypes[i] = {fake::reported_memory(type.flags), type.heap};
    if ((type.flags & kDeviceLocal) != 0)
      out->memoryHeaps[type.heap].flags |= VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
    // The machine's memory behind it: what the host sees there is coherent.
    const VkMemoryPropertyFlags wanted =
        (type.flags & kHostVisible) != 0
            ? VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT
            : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    for (uint32_t k = machine.memoryTypeCount; k-- > 0;) {
      if ((machine.memoryTypes[k].propertyFlags & wanted) == wanted) state.machine_types[i] = k;
    }
  }
}

VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice device,
                                                                  uint32_t* count,
                                                                  VkQueueFamilyProperties* out) {
  state.real.GetPhysicalDeviceQueueFamilyProperties(device, count, out);
  for (uint32_t i = 0; out != nullptr && i < *count; ++i)
    at_most(&out[i].timestampValidBits, says(kTimestamps) ? state.says.timestamp_bits : 0);
}

}  // namespace

PFN_vkVoidFunction reporting_function(std::string_view wanted, PFN_vkVoidFunction found) {
  NBL_REPLACE(GetPhysicalDeviceProperties);
  NBL_REPLACE(GetPhysicalDeviceProperties2);
  NBL_REPLACE(GetPhysicalDeviceFeatures2);
  NBL_REPLACE(EnumerateDeviceExtensionProperties);
  NBL_REPLACE(GetPhysicalDeviceMemoryProperties);
  NBL_REPLACE(GetPhysicalDeviceQueueFamilyProperties);
  return nullptr;
}

}  // namespace nbl::test::clamped
