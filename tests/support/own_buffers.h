// Bindings that are buffers of their own. The validation layer's GPU-assisted checks compare an
// access with the size of the buffer, not with the part of it that is bound.
#pragma once

#include <algorithm>
#include <vector>

#include "rt/nibble.h"
#include "tests/support/gpu_device.h"

namespace nbl::test {

class OwnBuffers {
 public:
  // A buffer over `bytes` of the memory, to be bound in place of what lies there.
  VkDescriptorBufferInfo make(const Functions& vk, VkDevice device, VkDeviceMemory memory,
                              VkDeviceSize offset, VkDeviceSize bytes) {
    auto info = chained<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
    info.size = bytes;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT;
    VkBuffer buffer = nullptr;
    check(vk.CreateBuffer(device, &info, nullptr, &buffer), "vkCreateBuffer");
    buffers_.push_back(buffer);
    VkMemoryRequirements needs;
    vk.GetBufferMemoryRequirements(device, buffer, &needs);
    if (offset % needs.alignment != 0) throw std::runtime_error("a binding lies at an odd offset");
    check(vk.BindBufferMemory(device, buffer, memory, offset), "vkBindBufferMemory");
    return {buffer, 0, bytes};
  }

  void clear(const Functions& vk, VkDevice device) {
    for (const VkBuffer buffer : buffers_)
      vk.DestroyBuffer(device, buffer, nullptr);
    buffers_.clear();
  }

 private:
  std::vector<VkBuffer> buffers_;
};

// The machine's Vulkan, whose devices bind buffers of their own in place of all that is bound to a
// descriptor set; half as long with `short_bindings`. For one device at a time.
nbl_get_instance_proc_addr own_buffers_entry(bool short_bindings);

}  // namespace nbl::test
