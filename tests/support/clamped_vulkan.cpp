#include "tests/support/clamped_vulkan.h"

#include <algorithm>
#include <cstring>

#include "spirv/reflect.h"
#include "tests/support/clamped_state.h"

namespace nbl::test {
namespace clamped {
namespace {

VKAPI_ATTR VkResult VKAPI_CALL CreateDevice(VkPhysicalDevice device, const VkDeviceCreateInfo* info,
                                            const VkAllocationCallbacks* host, VkDevice* out) {
  for (uint32_t i = 0; i < info->enabledExtensionCount; ++i) {
    if (!allowed(has_extension(info->ppEnabledExtensionNames[i]), "extension enabled"))
      return VK_ERROR_EXTENSION_NOT_PRESENT;
  }
  state.enabled = 0;
  each_feature(info->pNext, [](const VkBool32* value, uint32_t feature) {
    if (*value != VK_FALSE) state.enabled |= feature;
  });
  if (!allowed((state.enabled & ~state.is.features) == 0, "feature enabled"))
    return VK_ERROR_FEATURE_NOT_PRESENT;
  return state.real.CreateDevice(device, info, host, out);
}

// Of a mask of the machine's memory types.
uint32_t own_types(uint32_t machine_bits) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < state.says.memory_type_count; ++i)
    bits |= (machine_bits >> state.machine_types[i] & 1u) << i;
  return bits;
}

VKAPI_ATTR void VKAPI_CALL GetBufferMemoryRequirements(VkDevice device, VkBuffer buffer,
                                                       VkMemoryRequirements* out) {
  state.real.GetBufferMemoryRequirements(device, buffer, out);
  out->memoryTypeBits = own_types(out->memoryTypeBits);
}
VKAPI_ATTR void VKAPI_CALL GetImageMemoryRequirements(VkDevice device, VkImage image,
                                                      VkMemoryRequirements* out) {
  state.real.GetImageMemoryRequirements(device, image, out);
  out->memoryTypeBits = own_types(out->memoryTypeBits);
}
VKAPI_ATTR VkResult VKAPI_CALL
GetMemoryHostPointerPropertiesEXT(VkDevice device, VkExternalMemoryHandleTypeFlagBits type,
                                  const void* pointer, VkMemoryHostPointerPropertiesEXT* out) {
  const VkResult result = state.real.GetMemoryHostPointerPropertiesEXT(device, type, pointer, out);
  out->memoryTypeBits = own_types(out->memoryTypeBits);
  return result;
}

VKAPI_ATTR VkResult VKAPI_CALL AllocateMemory(VkDevice device, const VkMemoryAllocateInfo* info,
                                              const VkAllocationCallbacks* host,
                                              VkDeviceMemory* memory) {
  const Caps& caps = state.is;
  Allocation made;
  made.bytes = info->allocationSize;
  made.type = info->memoryTypeIndex;
  with_link<VkImportMemoryHostPointerInfoEXT>(info->pNext,
                                              VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                              [&](auto*) { made.imported = true; });
  const uint32_t heap = caps.memory_types[made.type].heap;
  if (!made.imported) {
    const bool fits = within(made.bytes, caps.max_allocation_bytes, "bytes of an allocation") &&
                      within(state.heap_bytes[heap] + made.bytes, caps.memory_heap_bytes[heap],
                             "bytes of a heap");
    if (!fits) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  }
  VkMemoryAllocateInfo real = *info;
  real.memoryTypeIndex = state.machine_types[made.type];
  VkResult result = state.real.AllocateMemory(device, &real, host, memory);
  if (result != VK_SUCCESS) return result;
  const bool visible = (caps.memory_types[made.type].flags & kHostVisible) != 0;
  if (visible && !made.imported) {
    void* pointer = nullptr;
    result = state.real.MapMemory(device, *memory, 0, VK_WHOLE_SIZE, 0, &pointer);
    if (result != VK_SUCCESS) return result;
    made.device = static_cast<std::byte*>(pointer);
    // Nobody may count on zeros; but a step buffer of anything else that is never flushed would
    // hang the device.
    const bool lies =
        state.says.memory_types[made.type].flags != caps.memory_types[made.type].flags;
    std::fill_n(made.device, made.bytes, lies ? std::byte{0} : std::byte{0xa5});
  }
  if (!made.imported) state.heap_bytes[heap] += made.bytes;
  state.peak_bytes[heap] = std::max(state.peak_bytes[heap], state.heap_bytes[heap]);
  state.memory[*memory] = std::move(made);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL FreeMemory(VkDevice device, VkDeviceMemory memory,
                                      const VkAllocationCallbacks* host) {
  const auto found = state.memory.find(memory);
  if (found != state.memory.end()) {
    const uint32_t heap = state.is.memory_types[found->second.type].heap;
    if (!found->second.imported) state.heap_bytes[heap] -= found->second.bytes;
    state.memory.erase(found);
  }
  state.real.FreeMemory(device, memory, host);
}

bool is_coherent(const Allocation& allocation) {
  return (state.is.memory_types[allocation.type].flags & kHostCoherent) != 0;
}

VKAPI_ATTR VkResult VKAPI_CALL MapMemory(VkDevice, VkDeviceMemory memory, VkDeviceSize offset,
                                         VkDeviceSize, VkMemoryMapFlags, void** out) {
  Allocation& allocation = state.memory.at(memory);
  if (!allowed(allocation.device != nullptr, "memory mapped that the host does not see"))
    return VK_ERROR_MEMORY_MAP_FAILED;
  std::byte* base = allocation.device;
  if (!is_coherent(allocation)) {
    allocation.copy = NoncoherentMemory(base, allocation.bytes, state.is.noncoherent_atom_bytes);
    base = allocation.copy.host();
  }
  *out = base + offset;
  return VK_SUCCESS;
}

// What was not flushed is lost.
VKAPI_ATTR void VKAPI_CALL UnmapMemory(VkDevice, VkDeviceMemory memory) {
  state.memory.at(memory).copy = {};
}

template <typename Move>
VkResult each_range(uint32_t count, const VkMappedMemoryRange* ranges, const Move& move) {
  for (uint32_t i = 0; i < count; ++i) {
    Allocation& allocation = state.memory.at(ranges[i].memory);
    const uint64_t atom = state.is.noncoherent_atom_bytes;
    const VkDeviceSize size = ranges[i].size;
    const bool whole = size == VK_WHOLE_SIZE || ranges[i].offset + size == allocation.bytes;
    allowed(ranges[i].offset % atom == 0 && (whole || size % atom == 0),
            "range that is no multiple of nonCoherentAtomSize");
    if (!is_coherent(allocation)) move(&allocation.copy, ranges[i]);
  }
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL FlushMappedMemoryRanges(VkDevice, uint32_t count,
                                                       const VkMappedMemoryRange* ranges) {
  ++state.flushes;
  return each_range(count, ranges, [](NoncoherentMemory* copy, const VkMappedMemoryRange& range) {
    copy->flush(range.offset, range.size);
  });
}
VKAPI_ATTR VkResult VKAPI_CALL InvalidateMappedMemoryRanges(VkDevice, uint32_t count,
                                                            const VkMappedMemoryRange* ranges) {
  ++state.invalidations;
  return each_range(count, ranges, [](NoncoherentMemory* copy, const VkMappedMemoryRange& range) {
    copy->invalidate(range.offset, range.size);
  });
}

VKAPI_ATTR VkResult VKAPI_CALL CreateImage(VkDevice device, const VkImageCreateInfo* info,
                                           const VkAllocationCallbacks* host, VkImage* image) {
  within(std::max(info->extent.width, info->extent.height), state.is.max_image_dim,
         "side of an image");
  return state.real.CreateImage(device, info, host, image);
}

VKAPI_ATTR VkResult VKAPI_CALL
CreateDescriptorSetLayout(VkDevice device, const VkDescriptorSetLayoutCreateInfo* info,
                          const VkAllocationCallbacks* host, VkDescriptorSetLayout* layout) {
  uint32_t buffers = 0;
  for (uint32_t i = 0; i < info->bindingCount; ++i) {
    if (info->pBindings[i].descriptorType == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER)
      buffers += info->pBindings[i].descriptorCount;
  }
  within(buffers, state.is.max_storage_buffers, "storage buffers of a stage");
  return state.real.CreateDescriptorSetLayout(device, info, host, layout);
}

VKAPI_ATTR void VKAPI_CALL UpdateDescriptorSets(VkDevice device, uint32_t count,
                                                const VkWriteDescriptorSet* writes, uint32_t copies,
                                                const VkCopyDescriptorSet* copy) {
  for (uint32_t i = 0; i < count; ++i) {
    if (writes[i].descriptorType != VK_DESCRIPTOR_TYPE_STORAGE_BUFFER) continue;
    for (uint32_t k = 0; k < writes[i].descriptorCount; ++k) {
      const VkDescriptorBufferInfo& info = writes[i].pBufferInfo[k];
      within(info.range, state.is.max_storage_range_bytes, "bytes of a binding");
      allowed(info.offset % state.is.storage_align_bytes == 0, "offset of a binding");
    }
  }
  state.real.UpdateDescriptorSets(device, count, writes, copies, copy);
}

VKAPI_ATTR VkResult VKAPI_CALL CreatePipelineLayout(VkDevice device,
                                                    const VkPipelineLayoutCreateInfo* info,
                                                    const VkAllocationCallbacks* host,
                                                    VkPipelineLayout* layout) {
  for (uint32_t i = 0; i < info->pushConstantRangeCount; ++i) {
    const VkPushConstantRange& range = info->pPushConstantRanges[i];
    within(range.offset + range.size, state.is.max_push_bytes, "bytes of push constants");
  }
  return state.real.CreatePipelineLayout(device, info, host, layout);
}

VKAPI_ATTR VkResult VKAPI_CALL CreateShaderModule(VkDevice device,
                                                  const VkShaderModuleCreateInfo* info,
                                                  const VkAllocationCallbacks* host,
                                                  VkShaderModule* module) {
  const VkResult result = state.real.CreateShaderModule(device, info, host, module);
  if (result == VK_SUCCESS)
    state.modules[*module].assign(info->pCode, info->pCode + info->codeSize / 4);
  return result;
}

// What a module may use: operations of subgroups as they are, other features where they are
// enabled.
uint32_t usable_features() {
  constexpr uint32_t kSubgroups =
      kSubgroupArithmetic | kSubgroupShuffle | kSubgroupVote | kSubgroupBallot;
  return (state.is.features & kSubgroups) | state.enabled;
}

uint32_t features_of(uint32_t capability_mask) {
  static constexpr uint32_t kNeeds[] = {
#define NBL_CAPABILITY(name, number, needs) needs,
#include "spirv/capabilities.def"
#undef NBL_CAPABILITY
  };
  uint32_t features = 0;
  for (uint32_t i = 0; i < std::size(kNeeds); ++i)
    if ((capability_mask >> i & 1u) != 0) features |= kNeeds[i];
  return features;
}

bool check_stage(const VkPipelineShaderStageCreateInfo& stage) {
  std::vector<uint32_t> spec;
  const VkSpecializationInfo* info = stage.pSpecializationInfo;
  for (uint32_t i = 0; info != nullptr && i < info->mapEntryCount; ++i) {
    const VkSpecializationMapEntry& entry = info->pMapEntries[i];
    if (entry.constantID >= spec.size()) spec.resize(entry.constantID + 1);
    std::memcpy(&spec[entry.constantID], static_cast<const std::byte*>(info->pData) + entry.offset,
                sizeof spec[0]);
  }
  const spirv::Facts facts = spirv::reflect(state.modules.at(stage.module), spec);
  const bool lanes = within(facts.local_x, state.is.max_invocations, "invocations");
  const bool width = within(facts.local_x, state.is.max_workgroup_x, "size of a work-group");
  const bool shared = within(facts.shared_bytes, state.is.max_shared_bytes, "shared memory");
  const uint32_t missing = features_of(facts.capability_mask) & ~usable_features();
  return allowed(missing == 0, "capability of a module") && lanes && width && shared;
}

VKAPI_ATTR VkResult VKAPI_CALL CreateComputePipelines(VkDevice device, VkPipelineCache cache,
                                                      uint32_t count,
                                                      const VkComputePipelineCreateInfo* infos,
                                                      const VkAllocationCallbacks* host,
                                                      VkPipeline* pipelines) {
  for (uint32_t i = 0; i < count; ++i)
    if (!check_stage(infos[i].stage)) return VK_ERROR_INITIALIZATION_FAILED;
  return state.real.CreateComputePipelines(device, cache, count, infos, host, pipelines);
}

VKAPI_ATTR void VKAPI_CALL CmdDispatch(VkCommandBuffer commands, uint32_t x, uint32_t y,
                                       uint32_t z) {
  within(x, state.is.max_grid[0], "work-groups along x");
  within(y, state.is.max_grid[1], "work-groups along y");
  within(z, state.is.max_grid[2], "work-groups along z");
  state.real.CmdDispatch(commands, x, y, z);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char* name) {
  const PFN_vkVoidFunction found = state.get_device(device, name);
  const std::string_view wanted(name);
  NBL_REPLACE(GetBufferMemoryRequirements);
  NBL_REPLACE(GetImageMemoryRequirements);
  NBL_REPLACE(GetMemoryHostPointerPropertiesEXT);
  NBL_REPLACE(AllocateMemory);
  NBL_REPLACE(FreeMemory);
  NBL_REPLACE(MapMemory);
  NBL_REPLACE(UnmapMemory);
  NBL_REPLACE(FlushMappedMemoryRanges);
  NBL_REPLACE(InvalidateMappedMemoryRanges);
  NBL_REPLACE(CreateImage);
  NBL_REPLACE(CreateDescriptorSetLayout);
  NBL_REPLACE(UpdateDescriptorSets);
  NBL_REPLACE(CreatePipelineLayout);
  NBL_REPLACE(CreateShaderModule);
  NBL_REPLACE(CreateComputePipelines);
  NBL_REPLACE(CmdDispatch);
  return found;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_function(VkInstance instance, const char* name) {
  const PFN_vkVoidFunction found = state.get(instance, name);
  const std::string_view wanted(name);
  if (wanted == "vkGetDeviceProcAddr") return replace(found, &device_function, &state.get_device);
  NBL_REPLACE(CreateDevice);
  const PFN_vkVoidFunction reporting = reporting_function(wanted, found);
  return reporting == nullptr ? found : reporting;
}

}  // namespace
}  // namespace clamped

nbl_get_instance_proc_addr ClampedVulkan::over(nbl_get_instance_proc_addr real, const Caps& says,
                                               const Caps& is) {
  using clamped::state;
  state = {};
  state.says = says;
  state.is = is;
  state.get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(real);
  return reinterpret_cast<nbl_get_instance_proc_addr>(&clamped::instance_function);
}

const std::vector<std::string>& ClampedVulkan::broken() {
  return clamped::state.broken;
}
uint64_t ClampedVulkan::flushes() {
  return clamped::state.flushes;
}
uint64_t ClampedVulkan::invalidations() {
  return clamped::state.invalidations;
}
uint64_t ClampedVulkan::peak_bytes(uint32_t heap) {
  return clamped::state.peak_bytes[heap];
}

}  // namespace nbl::test
