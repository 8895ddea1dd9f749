// Descriptor set layouts, pools and sets.
#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

// One buffer of a write: inside the buffer, aligned, and no longer than the device binds.
void write_buffer(Driver& driver, const VkDescriptorBufferInfo& info, Descriptor* out) {
  constexpr const char* kCall = "vkUpdateDescriptorSets";
  auto* const buffer = driver.use<Buffer>(kCall, info.buffer);
  if (buffer == nullptr) return;
  if (buffer->memory == nullptr) driver.complain(kCall, "the buffer has no memory");
  if ((buffer->usage & VK_BUFFER_USAGE_STORAGE_BUFFER_BIT) == 0) {
    driver.complain(kCall, "the buffer is not for storage");
  }
  if (info.offset >= buffer->bytes ||
      (info.range != VK_WHOLE_SIZE &&
       (info.range == 0 || info.range > buffer->bytes - info.offset))) {
    driver.complain(kCall, std::to_string(info.range) + " bytes at offset " +
                               std::to_string(info.offset) + " do not lie in a buffer of " +
                               std::to_string(buffer->bytes));
    return;
  }
  const uint64_t bytes = info.range == VK_WHOLE_SIZE ? buffer->bytes - info.offset : info.range;
  if (info.offset % driver.caps.storage_align_bytes != 0) {
    driver.complain(kCall, "offset " + std::to_string(info.offset) + " is not aligned to " +
                               std::to_string(driver.caps.storage_align_bytes));
  }
  if (bytes > driver.caps.max_storage_range_bytes) {
    driver.complain(kCall, "a range of " + std::to_string(bytes) + " bytes is longer than " +
                               std::to_string(driver.caps.max_storage_range_bytes));
  }
  *out = {buffer, info.offset, bytes};
}

void write_image(Driver& driver, const VkDescriptorImageInfo& info, Descriptor* out) {
  auto* const view = driver.use<ImageView>("vkUpdateDescriptorSets", info.imageView);
  if (view == nullptr) return;
  if ((view->image->usage & VK_IMAGE_USAGE_SAMPLED_BIT) == 0) {
    driver.complain("vkUpdateDescriptorSets", "the image is not for sampling");
  }
  *out = {.view = view, .layout = info.imageLayout};
}

void write_set(Driver& driver, const VkWriteDescriptorSet& write) {
  constexpr const char* kCall = "vkUpdateDescriptorSets";
  auto* const set = driver.use<DescriptorSet>(kCall, write.dstSet);
  if (set == nullptr) return;
  if (set->recorded) {
    driver.complain(kCall, "the set is in a command buffer already");
  }
  for (uint32_t i = 0; i < write.descriptorCount; ++i) {
    const size_t binding = size_t{write.dstBinding} + i;
    if (binding >= set->types.size() || set->types[binding] != write.descriptorType) {
      driver.complain(
          kCall, "binding " + std::to_string(binding) + " is not in the set, or of another type");
      return;
    }
    if (write.descriptorType == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER) {
      write_buffer(driver, write.pBufferInfo[i], &set->descriptors[binding]);
    } else {
      write_image(driver, write.pImageInfo[i], &set->descriptors[binding]);
    }
  }
}

// Takes what a set needs out of its pool; false where the pool has not got it.
bool take(DescriptorPool* pool, const SetLayout& layout) {
  std::map<VkDescriptorType, uint32_t> needed;
  for (const VkDescriptorType type : layout.types)
    ++needed[type];
  if (pool->sets_left == 0) return false;
  for (const auto& [type, count] : needed) {
    if (pool->left[type] < count) return false;
  }
  for (const auto& [type, count] : needed)
    pool->left[type] -= count;
  --pool->sets_left;
  return true;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL
CreateDescriptorSetLayout(VkDevice device, const VkDescriptorSetLayoutCreateInfo* info,
                          const VkAllocationCallbacks* callbacks, VkDescriptorSetLayout* out) {
  constexpr const char* kCall = "vkCreateDescriptorSetLayout";
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>(kCall, device);
  if (parent == nullptr) return kMisused;
  auto* const layout = driver.make<SetLayout>(parent, callbacks, 64);
  if (layout == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  uint32_t buffers = 0;
  for (uint32_t i = 0; i < info->bindingCount; ++i) {
    const VkDescriptorSetLayoutBinding& binding = info->pBindings[i];
    if (binding.binding != i || binding.descriptorCount != 1) {
      driver.complain(kCall, "bindings are not numbered through");
    }
    if (binding.descriptorType == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER) ++buffers;
    layout->types.push_back(binding.descriptorType);
  }
  if (buffers > driver.caps.max_storage_buffers) {
    driver.complain(kCall, std::to_string(buffers) + " storage buffers are more than " +
                               std::to_string(driver.caps.max_storage_buffers));
  }
  *out = handle_of<VkDescriptorSetLayout>(layout);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyDescriptorSetLayout(VkDevice device, VkDescriptorSetLayout handle,
                                                      const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<SetLayout>("vkDestroyDescriptorSetLayout", handle, callbacks);
}

VKAPI_ATTR VkResult VKAPI_CALL CreateDescriptorPool(VkDevice device,
                                                    const VkDescriptorPoolCreateInfo* info,
                                                    const VkAllocationCallbacks* callbacks,
                                                    VkDescriptorPool* out) {
  constexpr const char* kCall = "vkCreateDescriptorPool";
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>(kCall, device);
  if (parent == nullptr) return kMisused;
  if (info->maxSets == 0) driver.complain(kCall, "a pool of no sets");
  auto* const pool =
      driver.make<DescriptorPool>(parent, callbacks, 64 + size_t{32} * info->maxSets);
  if (pool == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  pool->sets_left = info->maxSets;
  for (uint32_t i = 0; i < info->poolSizeCount; ++i) {
    const VkDescriptorPoolSize& size = info->pPoolSizes[i];
    if (size.descriptorCount == 0) driver.complain(kCall, "room for none of a type");
    pool->left[size.type] += size.descriptorCount;
  }
  *out = handle_of<VkDescriptorPool>(pool);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyDescriptorPool(VkDevice device, VkDescriptorPool handle,
                                                 const VkAllocationCallbacks* callbacks) {
  Driver& driver = driver_of(device);
  auto* const pool = driver.destroy<DescriptorPool>("vkDestroyDescriptorPool", handle, callbacks);
  if (pool == nullptr) return;
  driver.end_children("vkDestroyDescriptorPool", pool, Kind::descriptor_set);
}

VKAPI_ATTR VkResult VKAPI_CALL ResetDescriptorPool(VkDevice device, VkDescriptorPool handle,
                                                   VkDescriptorPoolResetFlags) {
  Driver& driver = driver_of(device);
  auto* const pool = driver.use<DescriptorPool>("vkResetDescriptorPool", handle);
  if (pool == nullptr) return kMisused;
  for (const auto& object : driver.objects) {
    if (!object->alive || object->parent != pool) continue;
    ++pool->sets_left;
    for (const VkDescriptorType type : static_cast<DescriptorSet*>(object.get())->types)
      ++pool->left[type];
  }
  driver.end_children("vkResetDescriptorPool", pool, Kind::descriptor_set);
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL AllocateDescriptorSets(VkDevice device,
                                                      const VkDescriptorSetAllocateInfo* info,
                                                      VkDescriptorSet* out) {
  constexpr const char* kCall = "vkAllocateDescriptorSets";
  Driver& driver = driver_of(device);
  auto* const pool = driver.use<DescriptorPool>(kCall, info->descriptorPool);
  if (pool == nullptr) return kMisused;
  for (uint32_t i = 0; i < info->descriptorSetCount; ++i) {
    auto* const layout = driver.use<SetLayout>(kCall, info->pSetLayouts[i]);
    if (layout == nullptr) return kMisused;
    if (!take(pool, *layout)) return VK_ERROR_OUT_OF_POOL_MEMORY;
    // The pool has the memory of its sets.
    auto* const set = driver.make<DescriptorSet>(pool, pool->made_with(), 0);
    set->types = layout->types;
    set->descriptors.resize(layout->types.size());
    out[i] = handle_of<VkDescriptorSet>(set);
  }
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL UpdateDescriptorSets(VkDevice device, uint32_t count,
                                                const VkWriteDescriptorSet* writes,
                                                uint32_t copy_count, const VkCopyDescriptorSet*) {
  Driver& driver = driver_of(device);
  if (copy_count != 0) driver.complain("vkUpdateDescriptorSets", "this driver copies no sets");
  for (uint32_t i = 0; i < count; ++i)
    write_set(driver, writes[i]);
}

}  // namespace nbl::fake
