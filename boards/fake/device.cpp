// The logical device, its queue, and fences.
#include <algorithm>
#include <string_view>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

constexpr struct {
  const char* name;
  uint32_t feature;
} kExtensions[] = {
    {VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, kHostImport},
    {VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, kIntegerDot},
    {VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, kCooperativeMatrix},
    {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, kCooperativeMatrix},
    {VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, kFloat16},
    {VK_KHR_8BIT_STORAGE_EXTENSION_NAME, kStorage8},
    {VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, kCooperativeMatrix},
};

bool supports(const Driver& driver, std::string_view name) {
  return std::any_of(std::begin(kExtensions), std::end(kExtensions),
                     [&](const auto& row) { return name == row.name && driver.has(row.feature); });
}

// Features that a structure of the chain turns on.
uint32_t enabled_by(const VkBaseInStructure* link) {
  const auto if_on = [](VkBool32 on, uint32_t feature) { return on != VK_FALSE ? feature : 0u; };
  switch (static_cast<uint32_t>(link->sType)) {  // values that old headers lack
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR:
      return if_on(reinterpret_cast<const VkPhysicalDeviceCooperativeMatrixFeaturesKHR*>(link)
                       ->cooperativeMatrix,
                   kCooperativeMatrix | kCooperativeMatrixN8);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
      return if_on(
          reinterpret_cast<const VkPhysicalDeviceShaderFloat16Int8Features*>(link)->shaderFloat16,
          kFloat16);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
      return if_on(reinterpret_cast<const VkPhysicalDevice16BitStorageFeatures*>(link)
                       ->storageBuffer16BitAccess,
                   kStorage16);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES:
      return if_on(reinterpret_cast<const VkPhysicalDevice8BitStorageFeatures*>(link)
                       ->storageBuffer8BitAccess,
                   kStorage8);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
      return if_on(reinterpret_cast<const VkPhysicalDeviceShaderIntegerDotProductFeatures*>(link)
                       ->shaderIntegerDotProduct,
                   kIntegerDot);
    default:
      return kNoFeatures;
  }
}

// Whether pipelines may be given full subgroups of one size.
bool pins_subgroups(const VkBaseInStructure* link) {
  for (; link != nullptr; link = link->pNext) {
    if (link->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES) continue;
    const auto& control =
        *reinterpret_cast<const VkPhysicalDeviceSubgroupSizeControlFeatures*>(link);
    return control.subgroupSizeControl != VK_FALSE && control.computeFullSubgroups != VK_FALSE;
  }
  return false;
}

// VUID-RuntimeSpirv-vulkanMemoryModel-06265: atomics are of the device's scope, whatever they are
// of.
bool lacks_device_scope(const VkBaseInStructure* link) {
  for (; link != nullptr; link = link->pNext) {
    if (link->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES) continue;
    const auto& model = *reinterpret_cast<const VkPhysicalDeviceVulkanMemoryModelFeatures*>(link);
    return model.vulkanMemoryModel != VK_FALSE && model.vulkanMemoryModelDeviceScope == VK_FALSE;
  }
  return false;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL CreateDevice(VkPhysicalDevice physical,
                                            const VkDeviceCreateInfo* info,
                                            const VkAllocationCallbacks* callbacks, VkDevice* out) {
  Driver& driver = driver_of(physical);
  auto* const parent = driver.use<PhysicalDevice>("vkCreateDevice", physical);
  if (parent == nullptr) return kMisused;
  for (uint32_t i = 0; i < info->queueCreateInfoCount; ++i) {
    const VkDeviceQueueCreateInfo& queue = info->pQueueCreateInfos[i];
    if (queue.queueFamilyIndex != 0 || queue.queueCount != 1) {
      driver.complain("vkCreateDevice", "there is one queue, of family 0");
    }
  }
  for (uint32_t i = 0; i < info->enabledExtensionCount; ++i) {
    if (!supports(driver, info->ppEnabledExtensionNames[i])) return VK_ERROR_EXTENSION_NOT_PRESENT;
  }
  // These need no turning on.
  uint32_t features = driver.caps.features &
                      (kSubgroupArithmetic | kSubgroupShuffle | kSubgroupVote | kSubgroupBallot);
  for (auto* link = static_cast<const VkBaseInStructure*>(info->pNext); link != nullptr;
       link = link->pNext) {
    features |= enabled_by(link);
  }
  if (lacks_device_scope(static_cast<const VkBaseInStructure*>(info->pNext))) {
    driver.complain("vkCreateDevice", "the memory model without its device scope");
  }
  if (!pins_subgroups(static_cast<const VkBaseInStructure*>(info->pNext))) {
    features &= ~uint32_t{kCooperativeMatrix | kCooperativeMatrixN8};
  }
  if (!driver.has(kCooperativeMatrixN8)) features &= ~uint32_t{kCooperativeMatrixN8};  // a shape
  if ((features & ~driver.caps.features) != 0) return VK_ERROR_FEATURE_NOT_PRESENT;
  auto* const device =
      driver.make<Device>(parent->parent, callbacks, 512, VK_SYSTEM_ALLOCATION_SCOPE_DEVICE);
  if (device == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  device->features = features;
  for (uint32_t i = 0; i < info->enabledExtensionCount; ++i)
    device->extensions.emplace_back(info->ppEnabledExtensionNames[i]);
  auto queue = std::make_unique<Queue>();
  queue->kind = Kind::queue;
  queue->driver = &driver;
  queue->parent = device;
  device->queue = queue.get();
  driver.objects.push_back(std::move(queue));
  *out = handle_of<VkDevice>(device);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyDevice(VkDevice handle, const VkAllocationCallbacks* callbacks) {
  if (handle == VK_NULL_HANDLE) return;
  Driver& driver = driver_of(handle);
  auto* const device = driver.use<Device>("vkDestroyDevice", handle);
  if (device == nullptr) return;
  if (!driver.queue.empty()) {
    driver.complain("vkDestroyDevice", "a submit is under way that nobody has waited for");
  }
  std::map<std::string, uint32_t> left;
  for (const auto& object : driver.objects) {
    if (!object->alive || object->parent != device) continue;
    if (object->kind == Kind::queue)
      object->alive = false;
    else
      ++left[name_of(object->kind)];
  }
  for (const auto& [name, count] : left) {
    driver.complain("vkDestroyDevice", name + " left, " + std::to_string(count) + " of them");
  }
  driver.end("vkDestroyDevice", device, callbacks);
}

VKAPI_ATTR void VKAPI_CALL GetDeviceQueue(VkDevice handle, uint32_t family, uint32_t index,
                                          VkQueue* queue) {
  Driver& driver = driver_of(handle);
  auto* const device = driver.use<Device>("vkGetDeviceQueue", handle);
  if (family != 0 || index != 0) driver.complain("vkGetDeviceQueue", "no such queue was made");
  *queue = device == nullptr ? VK_NULL_HANDLE : handle_of<VkQueue>(device->queue);
}

VKAPI_ATTR VkResult VKAPI_CALL DeviceWaitIdle(VkDevice handle) {
  Driver& driver = driver_of(handle);
  if (driver.use<Device>("vkDeviceWaitIdle", handle) == nullptr) return kMisused;
  driver.run_queue();
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL QueueWaitIdle(VkQueue handle) {
  Driver& driver = driver_of(handle);
  if (driver.use<Queue>("vkQueueWaitIdle", handle) == nullptr) return kMisused;
  driver.run_queue();
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL CreateFence(VkDevice device, const VkFenceCreateInfo* info,
                                           const VkAllocationCallbacks* callbacks, VkFence* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkCreateFence", device);
  if (parent == nullptr) return kMisused;
  auto* const fence = driver.make<Fence>(parent, callbacks, 48);
  if (fence == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  fence->signaled = (info->flags & VK_FENCE_CREATE_SIGNALED_BIT) != 0;
  *out = handle_of<VkFence>(fence);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyFence(VkDevice device, VkFence fence,
                                        const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<Fence>("vkDestroyFence", fence, callbacks);
}

VKAPI_ATTR VkResult VKAPI_CALL ResetFences(VkDevice device, uint32_t count, const VkFence* fences) {
  Driver& driver = driver_of(device);
  for (uint32_t i = 0; i < count; ++i) {
    auto* const fence = driver.use<Fence>("vkResetFences", fences[i]);
    if (fence == nullptr) return kMisused;
    if (fence->submitted)
      driver.complain("vkResetFences", "a submit under way is to signal the fence");
    fence->signaled = false;
  }
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL GetFenceStatus(VkDevice device, VkFence handle) {
  Driver& driver = driver_of(device);
  auto* const fence = driver.use<Fence>("vkGetFenceStatus", handle);
  if (fence == nullptr) return kMisused;
  if (fence->submitted) driver.run_queue();
  return fence->signaled ? VK_SUCCESS : VK_NOT_READY;
}

VKAPI_ATTR VkResult VKAPI_CALL WaitForFences(VkDevice device, uint32_t count, const VkFence* fences,
                                             VkBool32, uint64_t) {
  Driver& driver = driver_of(device);
  for (uint32_t i = 0; i < count; ++i) {
    auto* const fence = driver.use<Fence>("vkWaitForFences", fences[i]);
    if (fence == nullptr) return kMisused;
    if (fence->submitted) driver.run_queue();
    if (fence->signaled) continue;
    driver.complain("vkWaitForFences", "nothing was submitted that would signal the fence");
    return VK_TIMEOUT;
  }
  return VK_SUCCESS;
}

}  // namespace nbl::fake
