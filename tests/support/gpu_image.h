// An image of weights on the device behind gpu.h, as rt/record makes them.
#pragma once

#include "tests/support/gpu_device.h"

namespace nbl::test {

class GpuImage {
 public:
  // An image of `rows` rows of TEXTURE_WIDTH texels (spirv/texture.h). Errors are exceptions.
  GpuImage(Device& device, uint32_t rows);
  ~GpuImage();
  GpuImage(const GpuImage&) = delete;
  GpuImage& operator=(const GpuImage&) = delete;

  VkImageView view() const { return view_; }

  // Records the copy of all texels from the buffer and makes them ready for shaders.
  void record_fill(VkCommandBuffer commands, VkBuffer from, uint64_t offset);

 private:
  void record_layout(VkCommandBuffer commands, VkImageLayout from, VkImageLayout to);

  Device& device_;
  const uint32_t rows_;
  VkImage image_ = nullptr;
  VkDeviceMemory memory_ = nullptr;
  VkImageView view_ = nullptr;
};

}  // namespace nbl::test
