// Shader modules and pipelines, checked against each other and against the device's limits. Nothing
// is compiled.
#include <cstring>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

constexpr struct {
  const char* name;
  uint32_t needs;
} kCapabilities[] = {
#define NBL_CAPABILITY(name, number, needs) {#name, needs},
#include "spirv/capabilities.def"
#undef NBL_CAPABILITY
};

const Shader& known_shader(Driver& driver, const uint32_t* words, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; i += count / 64 + 1)
    sum = sum * 31 + words[i];
  auto& known = driver.shaders[{words, count}];
  if (known.shader.facts.bindings == 0 || known.sum != sum) {
    known = {sum, read_shader({words, words + count})};
  }
  return known.shader;
}

// Says where a module wants more than the device has, or than was turned on.
void check_module(Driver& driver, const Device& device, const Shader& shader) {
  constexpr const char* kCall = "vkCreateShaderModule";
  if (!shader.wrong.empty()) driver.complain(kCall, shader.wrong);
  if (shader.written_although_readonly != 0) {
    driver.complain(kCall, "a binding is written that is declared as not writable");
  }
  for (size_t i = 0; i < std::size(kCapabilities); ++i) {
    const bool used = (shader.facts.capability_mask >> i & 1u) != 0;
    if (used && (kCapabilities[i].needs & ~device.features) != 0) {
      driver.complain(
          kCall, std::string(kCapabilities[i].name) + " needs a feature that is not turned on");
    }
  }
}

bool has_matrices(const Shader& shader) {
  for (size_t i = 0; i < std::size(kCapabilities); ++i) {
    const bool used = (shader.facts.capability_mask >> i & 1u) != 0;
    if (used && kCapabilities[i].needs == kCooperativeMatrix) return true;
  }
  return false;
}

// VUID-VkPipelineShaderStageCreateInfo-module-08987: matrices of a subgroup want full subgroups.
void check_subgroups(Driver& driver, const VkPipelineShaderStageCreateInfo& stage, uint32_t size) {
  constexpr const char* kCall = "vkCreateComputePipelines";
  const auto* const pinned =
      static_cast<const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo*>(stage.pNext);
  if ((stage.flags & VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT) == 0 ||
      pinned == nullptr ||
      pinned->sType != VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO) {
    driver.complain(kCall, "cooperative matrices without full subgroups of one size");
  } else if (pinned->requiredSubgroupSize != driver.caps.subgroup_size ||
             size % driver.caps.subgroup_size != 0) {
    driver.complain(kCall, "workgroups of " + std::to_string(size) + " in subgroups of " +
                               std::to_string(pinned->requiredSubgroupSize));
  }
}

void check_pipeline(Driver& driver, const PipelineLayout& layout, const Pipeline& pipeline,
                    const VkPipelineShaderStageCreateInfo& stage) {
  constexpr const char* kCall = "vkCreateComputePipelines";
  const Shader& shader = *pipeline.shader;
  const uint32_t used = shader.reads | shader.writes;
  for (uint32_t i = 0; i < 32; ++i) {
    if ((used >> i & 1u) == 0) continue;
    const VkDescriptorType wanted = (shader.facts.image_mask >> i & 1u) != 0
                                        ? VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE
                                        : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    if (i >= layout.types.size() || layout.types[i] != wanted) {
      driver.complain(kCall,
                      "binding " + std::to_string(i) + " is not in the layout as it is used");
    }
  }
  if (shader.facts.push_bytes > layout.push_bytes) {
    driver.complain(kCall, "the push constants are larger than the layout's");
  }
  if (pipeline.spec.size() > shader.facts.spec_count) {
    driver.complain(kCall, "more constants are specialised than there are");
  }
  const size_t id = static_cast<size_t>(shader.size_id);
  const bool specialised = shader.size_id >= 0 && id < pipeline.spec.size();
  const uint32_t size = specialised ? pipeline.spec[id] : shader.facts.local_x;
  if (size == 0 || size > driver.caps.max_invocations || size > driver.caps.max_workgroup_x) {
    driver.complain(kCall, "workgroups of " + std::to_string(size) +
                               " are more than the device's " +
                               std::to_string(driver.caps.max_invocations));
  }
  if (has_matrices(shader)) check_subgroups(driver, stage, size);
  if (shader.facts.shared_bytes > driver.caps.max_shared_bytes) {
    driver.complain(kCall, std::to_string(shader.facts.shared_bytes) +
                               " bytes of shared memory are more than the device's " +
                               std::to_string(driver.caps.max_shared_bytes));
  }
}

// Constants by id. The runtime numbers them through, 4 bytes each.
std::vector<uint32_t> spec_of(Driver& driver, const VkSpecializationInfo* info) {
  std::vector<uint32_t> spec;
  for (uint32_t i = 0; info != nullptr && i < info->mapEntryCount; ++i) {
    const VkSpecializationMapEntry& entry = info->pMapEntries[i];
    if (entry.constantID != i || entry.size != 4 || entry.offset > info->dataSize ||
        info->dataSize - entry.offset < entry.size) {
      driver.complain("vkCreateComputePipelines",
                      "constant " + std::to_string(entry.constantID) +
                          " lies outside the data, or is not the next one of 4 bytes");
      return spec;
    }
    uint32_t value = 0;
    std::memcpy(&value, static_cast<const char*>(info->pData) + entry.offset, sizeof value);
    spec.push_back(value);
  }
  return spec;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL CreateShaderModule(VkDevice handle,
                                                  const VkShaderModuleCreateInfo* info,
                                                  const VkAllocationCallbacks* callbacks,
                                                  VkShaderModule* out) {
  Driver& driver = driver_of(handle);
  auto* const device = driver.use<Device>("vkCreateShaderModule", handle);
  if (device == nullptr) return kMisused;
  if (info->codeSize == 0 || info->codeSize % 4 != 0) {
    driver.complain("vkCreateShaderModule", "the size is no multiple of 4");
    return kMisused;
  }
  auto* const module = driver.make<ShaderModule>(device, callbacks, 96 + info->codeSize / 16);
  if (module == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  module->words = info->pCode;
  module->shader = &known_shader(driver, info->pCode, info->codeSize / 4);
  check_module(driver, *device, *module->shader);
  *out = handle_of<VkShaderModule>(module);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyShaderModule(VkDevice device, VkShaderModule handle,
                                               const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<ShaderModule>("vkDestroyShaderModule", handle, callbacks);
}

VKAPI_ATTR VkResult VKAPI_CALL CreatePipelineLayout(VkDevice device,
                                                    const VkPipelineLayoutCreateInfo* info,
                                                    const VkAllocationCallbacks* callbacks,
                                                    VkPipelineLayout* out) {
  constexpr const char* kCall = "vkCreatePipelineLayout";
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>(kCall, device);
  if (parent == nullptr || info->setLayoutCount != 1) return kMisused;
  auto* const set = driver.use<SetLayout>(kCall, info->pSetLayouts[0]);
  if (set == nullptr) return kMisused;
  auto* const layout = driver.make<PipelineLayout>(parent, callbacks, 64);
  if (layout == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  layout->types = set->types;
  for (uint32_t i = 0; i < info->pushConstantRangeCount; ++i) {
    const VkPushConstantRange& range = info->pPushConstantRanges[i];
    if (range.offset % 4 != 0 || range.size % 4 != 0 || range.size == 0 ||
        range.offset + range.size > driver.caps.max_push_bytes) {
      driver.complain(kCall, "push constants up to byte " +
                                 std::to_string(range.offset + range.size) + " are more than " +
                                 std::to_string(driver.caps.max_push_bytes));
    }
    layout->push_bytes = range.offset + range.size;
  }
  *out = handle_of<VkPipelineLayout>(layout);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyPipelineLayout(VkDevice device, VkPipelineLayout handle,
                                                 const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<PipelineLayout>("vkDestroyPipelineLayout", handle, callbacks);
}

VKAPI_ATTR VkResult VKAPI_CALL CreatePipelineCache(VkDevice device,
                                                   const VkPipelineCacheCreateInfo* info,
                                                   const VkAllocationCallbacks* callbacks,
                                                   VkPipelineCache* out) {
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>("vkCreatePipelineCache", device);
  if (parent == nullptr) return kMisused;
  auto* const cache = driver.make<PipelineCache>(parent, callbacks, 128);
  if (cache == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  driver.cache_bytes += info->initialDataSize;
  *out = handle_of<VkPipelineCache>(cache);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyPipelineCache(VkDevice device, VkPipelineCache handle,
                                                const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<PipelineCache>("vkDestroyPipelineCache", handle, callbacks);
}

VKAPI_ATTR VkResult VKAPI_CALL GetPipelineCacheData(VkDevice device, VkPipelineCache handle,
                                                    size_t* bytes, void* data) {
  Driver& driver = driver_of(device);
  if (driver.use<PipelineCache>("vkGetPipelineCacheData", handle) == nullptr) return kMisused;
  VkPhysicalDeviceProperties properties{};
  GetPhysicalDeviceProperties(handle_of<VkPhysicalDevice>(object_of(device)), &properties);
  struct {
    uint32_t header_bytes = 32, version = VK_PIPELINE_CACHE_HEADER_VERSION_ONE;
    uint32_t vendor = 0, device = 0;
    uint8_t uuid[VK_UUID_SIZE] = {};
  } header;
  static_assert(sizeof header == 32);
  header.vendor = properties.vendorID;
  header.device = properties.deviceID;
  std::memcpy(header.uuid, properties.pipelineCacheUUID, sizeof header.uuid);
  if (data == nullptr) {
    *bytes = sizeof header;
    return VK_SUCCESS;
  }
  if (*bytes < sizeof header) {
    *bytes = 0;
    return VK_INCOMPLETE;
  }
  *bytes = sizeof header;
  std::memcpy(data, &header, sizeof header);
  return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL CreateComputePipelines(VkDevice device, VkPipelineCache cache,
                                                      uint32_t count,
                                                      const VkComputePipelineCreateInfo* infos,
                                                      const VkAllocationCallbacks* callbacks,
                                                      VkPipeline* out) {
  constexpr const char* kCall = "vkCreateComputePipelines";
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>(kCall, device);
  if (parent == nullptr || count != 1) return kMisused;
  if (object_of(cache) != nullptr && driver.use<PipelineCache>(kCall, cache) == nullptr) {
    return kMisused;
  }
  *out = VK_NULL_HANDLE;
  auto* const module = driver.use<ShaderModule>(kCall, infos->stage.module);
  auto* const layout = driver.use<PipelineLayout>(kCall, infos->layout);
  if (module == nullptr || layout == nullptr) return kMisused;
  if (std::strcmp(infos->stage.pName, "main") != 0 ||
      infos->stage.stage != VK_SHADER_STAGE_COMPUTE_BIT) {
    driver.complain(kCall, "the stage is not the module's main of compute");
  }
  auto* const pipeline = driver.make<Pipeline>(parent, callbacks, 512);
  if (pipeline == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  pipeline->words = module->words;
  pipeline->shader = module->shader;
  pipeline->types = layout->types;
  pipeline->push_bytes = layout->push_bytes;
  pipeline->spec = spec_of(driver, infos->stage.pSpecializationInfo);
  check_pipeline(driver, *layout, *pipeline, infos->stage);
  *out = handle_of<VkPipeline>(pipeline);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyPipeline(VkDevice device, VkPipeline handle,
                                           const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<Pipeline>("vkDestroyPipeline", handle, callbacks);
}

}  // namespace nbl::fake
