#include "tools/common/copy_bandwidth.h"

#include <fmt/format.h>
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

constexpr uint64_t kLargestCopyBytes = 256ull << 20;
constexpr uint64_t kSmallestCopyBytes = 16ull << 20;
constexpr uint32_t kCopies = 20;
constexpr uint32_t kRounds = 3;  // the best one counts: nothing but noise makes a copy slower
constexpr uint64_t kTimeoutNs = 60'000'000'000;

#define NBL_INSTANCE_CALLS(X)                                                  \
  X(vkDestroyInstance)                                                         \
  X(vkEnumeratePhysicalDevices)                                                \
  X(vkGetPhysicalDeviceProperties) X(vkGetPhysicalDeviceQueueFamilyProperties) \
      X(vkGetPhysicalDeviceMemoryProperties) X(vkCreateDevice) X(vkGetDeviceProcAddr)
#define NBL_DEVICE_CALLS(X)                                                                  \
  X(vkDestroyDevice)                                                                         \
  X(vkGetDeviceQueue)                                                                        \
  X(vkCreateBuffer) X(vkDestroyBuffer) X(vkGetBufferMemoryRequirements) X(vkAllocateMemory)  \
      X(vkFreeMemory) X(vkBindBufferMemory) X(vkCreateCommandPool) X(vkDestroyCommandPool)   \
          X(vkAllocateCommandBuffers) X(vkBeginCommandBuffer) X(vkEndCommandBuffer)          \
              X(vkCmdCopyBuffer) X(vkCmdFillBuffer) X(vkCmdPipelineBarrier) X(vkCreateFence) \
                  X(vkDestroyFence) X(vkResetFences) X(vkQueueSubmit) X(vkWaitForFences)     \
                      X(vkDeviceWaitIdle)

struct Calls {
#define NBL_MEMBER(name) PFN_##name name = nullptr;
  NBL_INSTANCE_CALLS(NBL_MEMBER)
  NBL_DEVICE_CALLS(NBL_MEMBER)
#undef NBL_MEMBER
};

void need(VkResult result, const char* call) {
  if (result != VK_SUCCESS) {
    throw Failure(fmt::format("measuring the copy bandwidth: {} failed with VkResult {}", call,
                              static_cast<int>(result)));
  }
}

struct CopyBuffer {
  VkBuffer buffer = VK_NULL_HANDLE;
  VkDeviceMemory memory = VK_NULL_HANDLE;
};

// An instance and a device with one queue, as long as it lives.
class Bench {
 public:
  Bench(nbl_get_instance_proc_addr entry, int32_t device_index, const std::string& device_name);
  ~Bench() { close(); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // False where two buffers of this size do not fit.
  bool make_buffers(uint64_t size_bytes);
  double copy_seconds(uint64_t size_bytes, uint32_t copies);

 private:
  VkPhysicalDevice find(int32_t device_index, const std::string& device_name) const;
  void open_device();
  bool make_buffer(uint64_t size_bytes, CopyBuffer* out);
  void free_buffers();
  void record(uint64_t size_bytes, uint32_t copies);
  void close();

  Calls vk_;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  CopyBuffer buffers_[2];
};

Bench::Bench(nbl_get_instance_proc_addr entry, int32_t device_index,
             const std::string& device_name) {
  const auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(entry);
  VkApplicationInfo application = {};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.apiVersion = VK_API_VERSION_1_1;
  VkInstanceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  const auto create = reinterpret_cast<PFN_vkCreateInstance>(get(nullptr, "vkCreateInstance"));
  if (create == nullptr) throw Failure("measuring the copy bandwidth: no vkCreateInstance");
  need(create(&info, nullptr, &instance_), "vkCreateInstance");
#define NBL_LOAD(name) vk_.name = reinterpret_cast<PFN_##name>(get(instance_, #name));
  NBL_INSTANCE_CALLS(NBL_LOAD)
#undef NBL_LOAD
  try {
    physical_ = find(device_index, device_name);
    open_device();
  } catch (...) {
    close();
    throw;
  }
}

VkPhysicalDevice Bench::find(int32_t device_index, const std::string& device_name) const {
  uint32_t count = 0;
  need(vk_.vkEnumeratePhysicalDevices(instance_, &count, nullptr), "vkEnumeratePhysicalDevices");
  std::vector<VkPhysicalDevice> devices(count);
  need(vk_.vkEnumeratePhysicalDevices(instance_, &count, devices.data()),
       "vkEnumeratePhysicalDevices");
  for (uint32_t i = 0; i < count; ++i) {
    VkPhysicalDeviceProperties properties = {};
    vk_.vkGetPhysicalDeviceProperties(devices[i], &properties);
    if (device_index >= 0 ? i == static_cast<uint32_t>(device_index)
                          : device_name == properties.deviceName) {
      return devices[i];
    }
  }
  throw Failure("measuring the copy bandwidth: the device is not there any more");
}

void Bench::open_device() {
  uint32_t count = 0;
  vk_.vkGetPhysicalDeviceQueueFamilyProperties(physical_, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vk_.vkGetPhysicalDeviceQueueFamilyProperties(physical_, &count, families.data());
  uint32_t family = 0;
  while (family < count && (families[family].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0)
    ++family;
  if (family == count)
    throw Failure("measuring the copy bandwidth: the device has no compute queue");
  const float priority = 1;
  VkDeviceQueueCreateInfo queue = {};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  need(vk_.vkCreateDevice(physical_, &info, nullptr, &device_), "vkCreateDevice");
#define NBL_LOAD(name) \
  vk_.name = reinterpret_cast<PFN_##name>(vk_.vkGetDeviceProcAddr(device_, #name));
  NBL_DEVICE_CALLS(NBL_LOAD)
#undef NBL_LOAD
  vk_.vkGetDeviceQueue(device_, family, 0, &queue_);
  VkCommandPoolCreateInfo pool = {};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = family;
  need(vk_.vkCreateCommandPool(device_, &pool, nullptr, &pool_), "vkCreateCommandPool");
  VkCommandBufferAllocateInfo buffer = {};
  buffer.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  buffer.commandPool = pool_;
  buffer.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  buffer.commandBufferCount = 1;
  need(vk_.vkAllocateCommandBuffers(device_, &buffer, &commands_), "vkAllocateCommandBuffers");
  VkFenceCreateInfo fence = {};
  fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  need(vk_.vkCreateFence(device_, &fence, nullptr, &fence_), "vkCreateFence");
}

bool Bench::make_buffer(uint64_t size_bytes, CopyBuffer* out) {
  VkBufferCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = size_bytes;
  info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  if (vk_.vkCreateBuffer(device_, &info, nullptr, &out->buffer) != VK_SUCCESS) return false;
  VkMemoryRequirements needs = {};
  vk_.vkGetBufferMemoryRequirements(device_, out->buffer, &needs);
  VkPhysicalDeviceMemoryProperties types = {};
  vk_.vkGetPhysicalDeviceMemoryProperties(physical_, &types);
  VkMemoryAllocateInfo memory = {};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  memory.allocationSize = needs.size;
  for (uint32_t type = 0; type < types.memoryTypeCount; ++type) {
    const bool allowed = (needs.memoryTypeBits >> type & 1) != 0;
    const bool local =
        (types.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) != 0;
    if (!allowed || !local) continue;
    memory.memoryTypeIndex = type;
    if (vk_.vkAllocateMemory(device_, &memory, nullptr, &out->memory) != VK_SUCCESS) continue;
    return vk_.vkBindBufferMemory(device_, out->buffer, out->memory, 0) == VK_SUCCESS;
  }
  return false;
}

bool Bench::make_buffers(uint64_t size_bytes) {
  if (make_buffer(size_bytes, &buffers_[0]) && make_buffer(size_bytes, &buffers_[1])) return true;
  free_buffers();
  return false;
}

void Bench::free_buffers() {
  for (CopyBuffer& buffer : buffers_) {
    vk_.vkDestroyBuffer(device_, buffer.buffer, nullptr);
    vk_.vkFreeMemory(device_, buffer.memory, nullptr);
    buffer = {};
  }
}

void Bench::record(uint64_t size_bytes, uint32_t copies) {
  VkCommandBufferBeginInfo begin = {};
  begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  need(vk_.vkBeginCommandBuffer(commands_, &begin), "vkBeginCommandBuffer");
  VkMemoryBarrier barrier = {};
  barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT;
  barrier.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  const auto wait = [&] {
    vk_.vkCmdPipelineBarrier(commands_, VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0, nullptr, 0,
                             nullptr);
  };
  const VkBufferCopy region = {0, 0, size_bytes};
  if (copies == 0) {  // touches every page of both before anything is timed
    for (uint32_t i = 0; i < 2; ++i) {
      vk_.vkCmdFillBuffer(commands_, buffers_[i].buffer, 0, VK_WHOLE_SIZE, 0x6e62626c + i);
    }
  }
  for (uint32_t i = 0; i < copies; ++i) {
    wait();
    vk_.vkCmdCopyBuffer(commands_, buffers_[i % 2].buffer, buffers_[1 - i % 2].buffer, 1, &region);
  }
  need(vk_.vkEndCommandBuffer(commands_), "vkEndCommandBuffer");
}

double Bench::copy_seconds(uint64_t size_bytes, uint32_t copies) {
  record(size_bytes, copies);
  VkSubmitInfo submit = {};
  submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  submit.commandBufferCount = 1;
  submit.pCommandBuffers = &commands_;
  need(vk_.vkResetFences(device_, 1, &fence_), "vkResetFences");
  const auto start = std::chrono::steady_clock::now();
  need(vk_.vkQueueSubmit(queue_, 1, &submit, fence_), "vkQueueSubmit");
  need(vk_.vkWaitForFences(device_, 1, &fence_, VK_TRUE, kTimeoutNs), "vkWaitForFences");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Bench::close() {
  if (device_ != VK_NULL_HANDLE) {
    vk_.vkDeviceWaitIdle(device_);
    free_buffers();
    vk_.vkDestroyFence(device_, fence_, nullptr);
    vk_.vkDestroyCommandPool(device_, pool_, nullptr);
    vk_.vkDestroyDevice(device_, nullptr);
  }
  if (instance_ != VK_NULL_HANDLE) vk_.vkDestroyInstance(instance_, nullptr);
}

}  // namespace

CopyBandwidth measure_copy_bandwidth(nbl_get_instance_proc_addr get_instance_proc_addr,
                                     int32_t device_index, const std::string& device_name) {
  Bench bench(get_instance_proc_addr, device_index, device_name);
  CopyBandwidth result;
  result.copy_bytes = kLargestCopyBytes;
  while (!bench.make_buffers(result.copy_bytes)) {
    result.copy_bytes /= 2;
    if (result.copy_bytes < kSmallestCopyBytes) {
      throw Failure("measuring the copy bandwidth: no device memory for two buffers of 16 MiB");
    }
  }
  result.copies = kCopies;
  bench.copy_seconds(result.copy_bytes, 0);
  bench.copy_seconds(result.copy_bytes, 1);
  double best = bench.copy_seconds(result.copy_bytes, kCopies);
  for (uint32_t round = 1; round < kRounds; ++round) {
    best = std::min(best, bench.copy_seconds(result.copy_bytes, kCopies));
  }
  result.gigabytes_per_second = 2.0 * static_cast<double>(result.copy_bytes) * kCopies / best / 1e9;
  return result;
}

}  // namespace nbl::tools
