#include "rt/vk/device.h"

#include <cstring>

#include "rt/base/limits.h"
#include "rt/vk/matrix.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

constexpr uint32_t kMaxDevices = 16;

Status make_instance(Device* d, Error* error) {
  uint32_t version = 0;
  NBL_VK(*d, error, EnumerateInstanceVersion, &version);
  if (version < VK_API_VERSION_1_1) {
    return fail(error, Code::no_vulkan, version, "Vulkan 1.1");
  }
  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pEngineName = "nibble";
  application.apiVersion = VK_API_VERSION_1_1;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  const VkResult made = d->fn.CreateInstance(&info, &d->host, &d->instance);
  const Status status = check(*d, made, "vkCreateInstance", error);
  // The loader's word for "I found none".
  if (made == VK_ERROR_INCOMPATIBLE_DRIVER && status.code() == Code::vulkan_call) {
    return fail(error, Code::no_vulkan, 0, "a driver");
  }
  NBL_TRY(status);
  return load_instance(d->instance, &d->fn, error);
}

bool fits_floor(const Caps& caps, const char** lacks) {
  *lacks = caps.api_version < VK_API_VERSION_1_1                    ? "Vulkan 1.1"
           : caps.max_invocations < kFloorInvocations               ? "128 invocations a workgroup"
           : caps.max_shared_bytes < kFloorSharedBytes              ? "16 KiB of shared memory"
           : caps.max_storage_buffers < kMaxBindings                ? "8 storage buffers a stage"
           : caps.max_storage_range_bytes < kFloorStorageRangeBytes ? "128 MiB storage buffers"
                                                                    : nullptr;
  return *lacks == nullptr;
}

Status describe_device(Device* d, VkPhysicalDevice physical,
                       std::span<VkExtensionProperties> scratch, bool* usable, const char** lacks,
                       Error* error) {
  *usable = false;
  const Status status = fill_caps(d->fn, physical, scratch, &d->caps, error);
  if (status.code() == Code::no_device) {
    *lacks = "a compute queue";
    return {};
  }
  if (!status.ok()) {
    NBL_TRY(check_pool(d->host, "vkEnumerateDeviceExtensionProperties", error));
    return status;
  }
  *usable = fits_floor(d->caps, lacks);
  return {};
}

// Leaves the choice in d->physical and d->caps.
Status choose(Device* d, uint32_t index, std::span<VkExtensionProperties> scratch, Error* error) {
  VkPhysicalDevice found[kMaxDevices] = {};
  uint32_t count = kMaxDevices;
  const VkResult result = d->fn.EnumeratePhysicalDevices(d->instance, &count, found);
  if (result != VK_INCOMPLETE) {
    NBL_TRY(check(*d, result, "vkEnumeratePhysicalDevices", error));
  }
  if (index > count) return fail(error, Code::no_such_device, 0, {}, index - 1, count);
  const char* lacks = "any driver";
  bool usable = false;
  for (const bool cpu : {false, true}) {
    for (uint32_t i = 0; i < count; ++i) {
      if (index != 0 && i + 1 != index) continue;
      NBL_TRY(describe_device(d, found[i], scratch, &usable, &lacks, error));
      if (usable && (index != 0 || (d->caps.kind == DeviceKind::cpu) == cpu)) {
        d->physical = found[i];
        return {};
      }
    }
  }
  // A driver that ran out of memory while it was loaded is left out without a word.
  NBL_TRY(check_pool(d->host, "vkEnumeratePhysicalDevices", error));
  return fail(error, Code::no_device, 0, lacks == nullptr ? "a supported type" : lacks, count);
}

constexpr uint32_t kMaxExtensions = 2 + kMostMatrixExtensions;

Status make_device(Device* d, Error* error) {
  NBL_TRY(compute_queue_family(d->fn, d->physical, &d->queue_family, error));
  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = d->queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  const char* extensions[kMaxExtensions] = {};
  MatrixFeatures matrix;
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.ppEnabledExtensionNames = extensions;
  if ((d->caps.features & kHostImport) != 0) {
    extensions[info.enabledExtensionCount++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
  }
  add_matrices(d->caps, &matrix, extensions, &info);
  VkPhysicalDeviceShaderIntegerDotProductFeatures dot{};
  if ((d->caps.features & kIntegerDot) != 0) {
    dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
    dot.pNext = const_cast<void*>(info.pNext);
    dot.shaderIntegerDotProduct = VK_TRUE;
    info.pNext = &dot;
    extensions[info.enabledExtensionCount++] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
  }
  NBL_VK(*d, error, CreateDevice, d->physical, &info, &d->host, &d->device);
  NBL_TRY(load_device(d->device, &d->fn, error));
  d->fn.GetDeviceQueue(d->device, d->queue_family, 0, &d->queue);
  if (d->fn.GetMemoryHostPointerPropertiesEXT == nullptr)
    d->caps.features &= ~uint32_t{kHostImport};
  return {};
}

// A frame of its own: the structure is large.
[[gnu::noinline]] void read_cache_uuid(Device* d) {
  VkPhysicalDeviceProperties properties;
  d->fn.GetPhysicalDeviceProperties(d->physical, &properties);
  memcpy(d->cache_uuid, properties.pipelineCacheUUID, VK_UUID_SIZE);
}

// Which memory types buffers may live in: the same for every buffer of this usage.
Status probe_buffer(Device* d, Error* error) {
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = kDeviceAlignBytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  VkBuffer buffer = VK_NULL_HANDLE;
  NBL_VK(*d, error, CreateBuffer, d->device, &info, &d->host, &buffer);
  VkMemoryRequirements requirements{};
  d->fn.GetBufferMemoryRequirements(d->device, buffer, &requirements);
  d->fn.DestroyBuffer(d->device, buffer, &d->host);
  d->caps.buffer_memory_bits = requirements.memoryTypeBits;
  return {};
}

}  // namespace

Status open_device(PFN_vkGetInstanceProcAddr get, const VkAllocationCallbacks& host, uint32_t index,
                   std::span<VkExtensionProperties> scratch, Device* device, Error* error) {
  device->host = host;
  NBL_TRY(load_loader(get, &device->fn, error));
  NBL_TRY(make_instance(device, error));
  NBL_TRY(choose(device, index, scratch, error));
  read_cache_uuid(device);
  NBL_TRY(make_device(device, error));
  return probe_buffer(device, error);
}

void close_device(Device* device) {
  if (device->device != VK_NULL_HANDLE && device->fn.DestroyDevice != nullptr) {
    device->fn.DestroyDevice(device->device, &device->host);
  }
  if (device->instance != VK_NULL_HANDLE && device->fn.DestroyInstance != nullptr) {
    device->fn.DestroyInstance(device->instance, &device->host);
  }
  device->device = VK_NULL_HANDLE;
  device->instance = VK_NULL_HANDLE;
}

}  // namespace nbl
